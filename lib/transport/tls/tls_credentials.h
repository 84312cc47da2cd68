// Who this end is and whom it trusts: a certificate, its key and the CA, read anew when they
// change.
#pragma once

#include <functional>
#include <memory>
#include <openssl/ssl.h>
#include <string>

#include "lib/os/mutex.h"

namespace memsync {

// PEM texts.
struct TlsPem {
  std::string ca{};    // certificates of the CA or CAs that both ends trust
  std::string cert{};  // this end's, and what lies between it and the CA
  std::string key{};   // its key, without a passphrase
  std::string crl{};   // revoked certificates; may be empty
};

// TLS 1.3 alone, both ends with a certificate of the CA, no resumption, no early data; AES-128-GCM
// where the CPU has instructions for it.
// Shared by a network and its streams. Threads: any.
class TlsCredentials {
 public:
  using Tell = std::function<void(const std::string& sentence)>;

  // ca.pem, cert.pem, key.pem and, if it is there, crl.pem of `folder`. Throws
  // std::invalid_argument in one sentence for a folder that can't be used. When the files change,
  // the next connection gets the new ones; a set that can't be used (half-written, say) is told
  // once and the one before stays. `tell` is called by whoever connects or accepts.
  static std::shared_ptr<TlsCredentials> from_folder(std::string folder, Tell tell = {});
  // Throws std::invalid_argument.
  static std::shared_ptr<TlsCredentials> from_pem(const TlsPem& pem);

  // What connections are made from now. Shared: a connection lives on with what it began with.
  std::shared_ptr<SSL_CTX> context();

 private:
  TlsCredentials(std::string folder, Tell tell)
      : folder_(std::move(folder)), tell_(std::move(tell)) {}

  void read_again() REQUIRES(mutex_);

  const std::string folder_;  // empty: nothing to read again
  const Tell tell_;
  Mutex mutex_;
  std::string state_ GUARDED_BY(mutex_);  // of the files as they were last read
  std::string told_ GUARDED_BY(mutex_);
  std::shared_ptr<SSL_CTX> context_ GUARDED_BY(mutex_);
};

}  // namespace memsync
