// The bytes that are pushed, as their sender sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "lib/region/geometry.h"

namespace memsync::mmap_push {

// A region in memory, or a file that may grow, shrink and be replaced between rounds.
// Throws std::system_error when the bytes can't be had. Threads: one, beside whoever writes.
class Source {
 public:
  virtual ~Source() = default;
  // Looks again: how long it is now; nullopt: it is not there, and the receiver keeps what it has
  // until it is again. What was known of a file that has been replaced, or has another length, is
  // forgotten: the next changed() names every block.
  virtual std::optional<uint64_t> refresh() = 0;
  // The blocks that may differ from what the receiver holds, ascending, of the length that
  // refresh() gave; a change that happens meanwhile is in this answer or in the next one.
  virtual std::vector<ChunkIndex> changed() = 0;
  // A private copy of these bytes; false: they are no longer there, the file has been cut short.
  virtual bool copy(std::span<std::byte> into, uint64_t offset) = 0;
  // The receiver holds exactly these bytes of the block from now on.
  virtual void note_held(ChunkIndex block, std::span<const std::byte> bytes) = 0;
  // Those bytes, where they were kept; empty otherwise.
  virtual std::span<const std::byte> held(ChunkIndex block) const = 0;
};

}  // namespace memsync::mmap_push
