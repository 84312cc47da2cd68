// One bit per chunk, set and read by many threads at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "lib/region/geometry.h"

namespace memsync {

// Threads: every member from any thread. set() and clear() order memory (acquire-release), so
// bytes written before set() are seen by whoever sees the bit.
class ChunkBitmap {
 public:
  explicit ChunkBitmap(ChunkIndex count);  // all clear; 1/8 byte per chunk

  ChunkIndex count() const noexcept { return count_; }
  bool test(ChunkIndex chunk) const noexcept;
  // Sets or clears; returns whether that changed the bit: of many callers one gets true.
  bool set(ChunkIndex chunk) noexcept;
  bool clear(ChunkIndex chunk) noexcept;
  // How many are set; exact when nobody writes meanwhile.
  ChunkIndex count_set() const noexcept;
  // The first clear chunk at or after `from`; nullopt when there is none.
  std::optional<ChunkIndex> first_clear(ChunkIndex from = 0) const noexcept;
  // All set chunks, ascending.
  std::vector<ChunkIndex> all_set() const;

 private:
  ChunkIndex count_;
  std::vector<std::atomic<uint64_t>> words_;
};

}  // namespace memsync
