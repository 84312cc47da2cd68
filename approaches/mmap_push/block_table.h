// What a receiver holds of a file, block by block: both ends keep one, and they stay equal.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/region/digest.h"
#include "lib/region/geometry.h"

namespace memsync::mmap_push {

// A digest of zeros says that nobody knows the block: it comes with the next round. Threads: one.
class BlockTable {
 public:
  static constexpr Digest kUnknown{};

  // `seed` of its digests: the receiver's choice, so that a writer at the source can't prepare
  // blocks that look equal.
  explicit BlockTable(uint64_t block_bytes = 4096, uint64_t seed = 0)
      : geometry_{0, block_bytes}, seed_(seed) {}

  uint64_t seed() const noexcept { return seed_; }
  Digest digest_of_block(std::span<const std::byte> bytes) const { return digest_of(bytes, seed_); }
  Digest digest_of_zeros(uint64_t length) {
    if (zeros_.first != length) zeros_ = {length, digest_of_block(std::vector<std::byte>(length))};
    return zeros_.second;
  }

  const Geometry& geometry() const noexcept { return geometry_; }
  uint64_t count() const noexcept { return digests_.size(); }
  const Digest& at(ChunkIndex block) const { return digests_[block]; }
  void set(ChunkIndex block, const Digest& digest) { digests_[block] = digest; }

  // Blocks that are not what they were are unknown afterwards: those behind the shorter end, and
  // the one that it cuts.
  void resize(uint64_t size_bytes) {
    const uint64_t kept = std::min(size_bytes, geometry_.size_bytes) / geometry_.chunk_bytes;
    if (size_bytes == geometry_.size_bytes) return;
    geometry_.size_bytes = size_bytes;
    digests_.resize(std::min(kept, geometry_.chunk_count()));
    digests_.resize(geometry_.chunk_count(), kUnknown);
  }

  // XXH3-128 of the digests in order: equal where all of the blocks are.
  Digest digest() const { return digest_of(std::as_bytes(std::span(digests_))); }
  std::span<const Digest> digests() const noexcept { return digests_; }

 private:
  Geometry geometry_;
  uint64_t seed_;
  std::pair<uint64_t, Digest> zeros_{};  // of the length that was asked for last
  std::vector<Digest> digests_;
};

}  // namespace memsync::mmap_push
