#include "lib/region/digest.h"

#define XXH_INLINE_ALL
#include <cstdio>
#include <stdexcept>
#include <xxhash.h>

namespace memsync {

namespace {
Digest from_xxh(XXH128_hash_t hash) {
  return {hash.high64, hash.low64};
}
}  // namespace

// XXH3's state wants 64-byte alignment, which the aligned operator new of C++17 gives.
struct RunningDigest::State {
  XXH3_state_t xxh;
};

Digest digest_of(std::span<const std::byte> bytes, uint64_t seed) {
  return from_xxh(XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed));
}

std::string to_hex(const Digest& digest) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(digest.high),
                static_cast<unsigned long long>(digest.low));
  return text;
}

Digest digest_from_hex(const std::string& hex) {
  if (hex.size() != 32 || hex.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw std::invalid_argument("'" + hex + "' is no digest of 32 hexadecimal digits");
  return {std::stoull(hex.substr(0, 16), nullptr, 16), std::stoull(hex.substr(16), nullptr, 16)};
}

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

RunningDigest::RunningDigest() : state_(std::make_unique<State>()) {
  XXH3_INITSTATE(&state_->xxh);
  XXH3_128bits_reset(&state_->xxh);
}
RunningDigest::RunningDigest(RunningDigest&&) noexcept = default;
RunningDigest& RunningDigest::operator=(RunningDigest&&) noexcept = default;
RunningDigest::~RunningDigest() = default;

void RunningDigest::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size());
}

Digest RunningDigest::value() const {
  return from_xxh(XXH3_128bits_digest(&state_->xxh));
}

}  // namespace memsync
