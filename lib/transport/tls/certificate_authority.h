// A CA of one's own: for campaigns, which throw it away, for `memsync ca`, and for tests.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "lib/transport/tls/openssl_handles.h"
#include "lib/transport/tls/tls_credentials.h"

namespace memsync {

struct CertificateValidity {
  std::chrono::seconds from = -std::chrono::hours(1);  // from now; clocks differ a little
  std::chrono::seconds until = std::chrono::hours(24 * 825);
};

// Keys are EC P-256. Threads: one at a time.
class CertificateAuthority {
 public:
  // Another one each time: its name has random digits behind `name`.
  static CertificateAuthority make(const std::string& name,
                                   CertificateValidity validity = {
                                       .until = std::chrono::hours(24 * 3650)});
  // Throws std::invalid_argument for texts that are no certificate and its key.
  static CertificateAuthority from_pem(const std::string& certificate, const std::string& key);

  std::string certificate_pem() const;
  std::string key_pem() const;

  // A key and a certificate for one host, with this CA's beside them. The first name is the common
  // name, all are subject alternative names: IP addresses, or host names of letters, digits, '.',
  // '-' and '_'. Throws std::invalid_argument for none and for what is neither.
  TlsPem issue(std::span<const std::string> names, CertificateValidity validity = {}) const;
  TlsPem issue(const std::string& name, CertificateValidity validity = {}) const {
    return issue(std::span(&name, 1), validity);
  }
  // A list (crl.pem) of these certificates of ours, in addition to those of `before`, if any.
  // Throws std::invalid_argument for what is no certificate or no list of this CA.
  std::string revoke(std::span<const std::string> certificates, const std::string& before = {},
                     CertificateValidity validity = {.until = std::chrono::hours(24 * 3650)}) const;

 private:
  CertificateAuthority(tls::CertificateHandle certificate, tls::KeyHandle key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}

  tls::CertificateHandle certificate_;
  tls::KeyHandle key_;
};

}  // namespace memsync
