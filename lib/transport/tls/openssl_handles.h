// OpenSSL's objects as owners that free themselves, and what it says when a call fails.
#pragma once

#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string>

namespace memsync::tls {

template <auto kFree>
struct Freed {
  template <typename Object>
  void operator()(Object* object) const noexcept {
    kFree(object);
  }
};

using BioHandle = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using ContextHandle = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using SslHandle = std::unique_ptr<SSL, Freed<SSL_free>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertificateHandle = std::unique_ptr<X509, Freed<X509_free>>;
using CrlHandle = std::unique_ptr<X509_CRL, Freed<X509_CRL_free>>;
using NamesHandle = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

// The first reason in this thread's queue, which is empty afterwards; "" when there is none.
std::string openssl_reason();
// Throws std::runtime_error with `attempt` and the reason unless `fine`.
void require(bool fine, const std::string& attempt);

// The first certificate and the first key of a text; null when there is none.
CertificateHandle certificate_of(const std::string& pem);
KeyHandle key_of(const std::string& pem);
// A memory BIO that reads `text`, which outlives it.
BioHandle reader_of(const std::string& text);
std::string text_in(BIO* memory);

}  // namespace memsync::tls
