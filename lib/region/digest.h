// XXH3-128 of bytes: what the harness compares regions by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace memsync {

// XXH3, 128 bits (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md). Not cryptographic: it
// finds accidents, not forgeries.
struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const Digest&, const Digest&) = default;
};

// With a seed that nobody knows who chooses the bytes, nobody can prepare two blocks of one digest.
Digest digest_of(std::span<const std::byte> bytes, uint64_t seed = 0);
std::string to_hex(const Digest& digest);  // 32 lower-case digits, canonical order
// The inverse of to_hex(). Throws std::invalid_argument.
Digest digest_from_hex(const std::string& hex);

// 64 bits of the same family, for short pieces.
uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed = 0);

// The digest of bytes that come in pieces; update() in order. Threads: one at a time.
class RunningDigest {
 public:
  RunningDigest();
  RunningDigest(RunningDigest&&) noexcept;
  RunningDigest& operator=(RunningDigest&&) noexcept;
  ~RunningDigest();
  void update(std::span<const std::byte> bytes);
  Digest value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace memsync
