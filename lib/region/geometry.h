// The region's size, its unit of moving, and which incarnation of it is meant.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace memsync {

using ChunkIndex = uint64_t;

struct ByteRange {
  uint64_t offset = 0;  // bytes from the start of the region
  uint64_t length = 0;  // bytes
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// The last chunk may be short: it is short on the wire and in hashes. A mapping rounds up to pages
// with zeros that are never sent.
struct Geometry {
  uint64_t size_bytes = 0;      // any value >= 1
  uint64_t chunk_bytes = 4096;  // a power of two, at least 4096

  ChunkIndex chunk_count() const {
    return size_bytes / chunk_bytes + (size_bytes % chunk_bytes != 0);
  }
  uint64_t chunk_start(ChunkIndex chunk) const { return chunk * chunk_bytes; }
  uint64_t chunk_length(ChunkIndex chunk) const {
    const uint64_t left = size_bytes - chunk_start(chunk);
    return left < chunk_bytes ? left : chunk_bytes;
  }
  ChunkIndex chunk_of(uint64_t offset) const { return offset / chunk_bytes; }
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

// One sentence per rule that `geometry` breaks, empty when it is sound.
std::string geometry_problem(const Geometry& geometry);

// Whether [offset, offset + length) lies within `size_bytes`; overflow-safe.
constexpr bool lies_within(uint64_t offset, uint64_t length, uint64_t size_bytes) {
  return offset <= size_bytes && length <= size_bytes - offset;
}

// Which region, and which incarnation of its ownership. Every request carries the epoch; a request
// of a stale epoch is refused, so that two owners can't both be believed.
struct RegionId {
  std::array<std::byte, 16> id{};
  uint64_t epoch = 0;  // grows by one at each hand-over
  friend bool operator==(const RegionId&, const RegionId&) = default;
};

}  // namespace memsync
