#include "lib/transport/tls/openssl_handles.h"

#include <array>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdexcept>

namespace memsync::tls {

namespace {

// A key that needs a passphrase has nobody who types it.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

}  // namespace

std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "";
  const char* const reason = ERR_reason_error_string(code);
  if (reason != nullptr) return reason;
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

void require(bool fine, const std::string& attempt) {
  if (fine) return;
  const std::string reason = openssl_reason();
  throw std::runtime_error(attempt + (reason.empty() ? "" : ": " + reason));
}

BioHandle reader_of(const std::string& text) {
  BioHandle bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  require(bio != nullptr, "reading a PEM text");
  return bio;
}

CertificateHandle certificate_of(const std::string& pem) {
  CertificateHandle found(PEM_read_bio_X509(reader_of(pem).get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  return found;
}

KeyHandle key_of(const std::string& pem) {
  KeyHandle found(PEM_read_bio_PrivateKey(reader_of(pem).get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  return found;
}

std::string text_in(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace memsync::tls
