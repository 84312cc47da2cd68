#include "lib/transport/tls/certificate_authority.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdexcept>

namespace memsync {

using tls::BioHandle;
using tls::CertificateHandle;
using tls::CrlHandle;
using tls::KeyHandle;
using tls::require;

namespace {

constexpr const char* kMaking = "making a certificate";
constexpr size_t kNameLimit = 64;  // of a common name: X.520's upper bound

KeyHandle make_key() {
  KeyHandle key(EVP_EC_gen("P-256"));
  require(key != nullptr, "making a key");
  return key;
}

bool is_ip(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  return ::inet_pton(AF_INET, name.c_str(), ignored.data()) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), ignored.data()) == 1;
}

// Also what keeps a name from being read as more of OpenSSL's extension syntax.
bool is_host(const std::string& name) {
  return !name.empty() && name.size() <= kNameLimit && std::ranges::all_of(name, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '.' || letter == '-' || letter == '_';
  });
}

std::string alternative_names(std::span<const std::string> names) {
  if (names.empty()) throw std::invalid_argument("a certificate needs a name");
  std::string text;
  for (const std::string& name : names) {
    if (!is_ip(name) && !is_host(name))
      throw std::invalid_argument("'" + name + "' is neither a host's name nor an IP address");
    text += (text.empty() ? "" : ",") + std::string(is_ip(name) ? "IP:" : "DNS:") + name;
  }
  return text;
}

CertificateHandle blank(const std::string& common_name, EVP_PKEY* key,
                        CertificateValidity validity) {
  CertificateHandle made(X509_new());
  require(made != nullptr, kMaking);
  const std::unique_ptr<BIGNUM, tls::Freed<BN_free>> serial(BN_new());
  const auto* name = reinterpret_cast<const unsigned char*>(common_name.c_str());
  const bool fine =
      serial && BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made.get())) != nullptr &&
      X509_set_version(made.get(), X509_VERSION_3) == 1 &&
      X509_gmtime_adj(X509_getm_notBefore(made.get()), validity.from.count()) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(made.get()), validity.until.count()) != nullptr &&
      X509_set_pubkey(made.get(), key) == 1 &&
      X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8, name, -1,
                                 -1, 0) == 1;
  require(fine, kMaking);
  return made;
}

void extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, tls::Freed<X509_EXTENSION_free>> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, kind, value.c_str()));
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, kMaking);
}

template <typename Write>
std::string pem_of(const Write& write) {
  const BioHandle memory(BIO_new(BIO_s_mem()));
  require(memory && write(memory.get()) == 1, "writing PEM");
  return tls::text_in(memory.get());
}

std::string pem_of(X509* certificate) {
  return pem_of([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

std::string pem_of(EVP_PKEY* key) {
  return pem_of([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

}  // namespace

CertificateAuthority CertificateAuthority::make(const std::string& name,
                                                CertificateValidity validity) {
  std::array<unsigned char, 4> random{};
  require(RAND_bytes(random.data(), random.size()) == 1, "drawing a CA's name");
  std::string full = name + " ";
  for (const unsigned char byte : random)
    full += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
  KeyHandle key = make_key();
  CertificateHandle made = blank(full, key.get(), validity);
  require(X509_set_issuer_name(made.get(), X509_get_subject_name(made.get())) == 1, kMaking);
  extend(made.get(), made.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  extend(made.get(), made.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  extend(made.get(), made.get(), NID_subject_key_identifier, "hash");
  require(X509_sign(made.get(), key.get(), EVP_sha256()) > 0, kMaking);
  return {std::move(made), std::move(key)};
}

CertificateAuthority CertificateAuthority::from_pem(const std::string& certificate,
                                                    const std::string& key) {
  auto own = tls::certificate_of(certificate);
  auto own_key = tls::key_of(key);
  if (!own) throw std::invalid_argument("the CA's certificate is none");
  if (!own_key) throw std::invalid_argument("the CA's key is none, or needs a passphrase");
  if (X509_check_private_key(own.get(), own_key.get()) != 1) {
    ERR_clear_error();
    throw std::invalid_argument("the CA's key belongs to another certificate");
  }
  return {std::move(own), std::move(own_key)};
}

std::string CertificateAuthority::certificate_pem() const {
  return pem_of(certificate_.get());
}

std::string CertificateAuthority::key_pem() const {
  return pem_of(key_.get());
}

TlsPem CertificateAuthority::issue(std::span<const std::string> names,
                                   CertificateValidity validity) const {
  const std::string alternatives = alternative_names(names);
  const KeyHandle key = make_key();
  const CertificateHandle made = blank(names.front(), key.get(), validity);
  require(X509_set_issuer_name(made.get(), X509_get_subject_name(certificate_.get())) == 1,
          kMaking);
  extend(made.get(), certificate_.get(), NID_basic_constraints, "critical,CA:FALSE");
  extend(made.get(), certificate_.get(), NID_key_usage, "critical,digitalSignature");
  extend(made.get(), certificate_.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  extend(made.get(), certificate_.get(), NID_subject_key_identifier, "hash");
  extend(made.get(), certificate_.get(), NID_authority_key_identifier, "keyid:always");
  extend(made.get(), certificate_.get(), NID_subject_alt_name, alternatives);
  require(X509_sign(made.get(), key_.get(), EVP_sha256()) > 0, kMaking);
  return {.ca = certificate_pem(), .cert = pem_of(made.get()), .key = pem_of(key.get()), .crl = {}};
}

std::string CertificateAuthority::revoke(std::span<const std::string> certificates,
                                         const std::string& before,
                                         CertificateValidity validity) const {
  constexpr const char* kAttempt = "making a list of revoked certificates";
  CrlHandle list(before.empty() ? X509_CRL_new()
                                : PEM_read_bio_X509_CRL(tls::reader_of(before).get(), nullptr,
                                                        nullptr, nullptr));
  if (!list || (!before.empty() && X509_CRL_verify(list.get(), key_.get()) != 1)) {
    ERR_clear_error();
    throw std::invalid_argument("the list of revoked certificates is none of this CA");
  }
  const std::unique_ptr<ASN1_TIME, tls::Freed<ASN1_TIME_free>> now(X509_gmtime_adj(nullptr, 0)),
      from(X509_gmtime_adj(nullptr, validity.from.count())),
      until(X509_gmtime_adj(nullptr, validity.until.count()));
  require(
      now && from && until && X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1 &&
          X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(certificate_.get())) == 1 &&
          X509_CRL_set1_lastUpdate(list.get(), from.get()) == 1 &&
          X509_CRL_set1_nextUpdate(list.get(), until.get()) == 1,
      kAttempt);
  for (const std::string& pem : certificates) {
    const auto certificate = tls::certificate_of(pem);
    if (!certificate || X509_verify(certificate.get(), key_.get()) != 1) {
      ERR_clear_error();
      throw std::invalid_argument("what is to be revoked is no certificate of this CA");
    }
    std::unique_ptr<X509_REVOKED, tls::Freed<X509_REVOKED_free>> entry(X509_REVOKED_new());
    require(entry &&
                X509_REVOKED_set_serialNumber(entry.get(),
                                              X509_get_serialNumber(certificate.get())) == 1 &&
                X509_REVOKED_set_revocationDate(entry.get(), now.get()) == 1 &&
                X509_CRL_add0_revoked(list.get(), entry.get()) == 1,
            kAttempt);
    entry.release();  // the list's now
  }
  require(X509_CRL_sort(list.get()) == 1 && X509_CRL_sign(list.get(), key_.get(), EVP_sha256()) > 0,
          kAttempt);
  return pem_of([&](BIO* out) { return PEM_write_bio_X509_CRL(out, list.get()); });
}

}  // namespace memsync
