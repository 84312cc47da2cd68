#include "harness/sha256.h"

#include <array>
#include <openssl/evp.h>
#include <stdexcept>

namespace memsync {

struct RunningSha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&::EVP_MD_CTX_free)> context{::EVP_MD_CTX_new(),
                                                                    ::EVP_MD_CTX_free};
};

namespace {

void check_done(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL computes no SHA-256 here");
}

}  // namespace

RunningSha256::RunningSha256() : state_(std::make_unique<State>()) {
  check_done(::EVP_DigestInit_ex(state_->context.get(), ::EVP_sha256(), nullptr));
}

RunningSha256::~RunningSha256() = default;

void RunningSha256::update(std::span<const std::byte> bytes) {
  check_done(::EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

std::string RunningSha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  check_done(::EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size));
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

std::string sha256_hex(const std::string& text) {
  RunningSha256 digest;
  digest.update(std::as_bytes(std::span(text)));
  return digest.hex();
}

}  // namespace memsync
