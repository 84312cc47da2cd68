// Which chunks of a region in memory were written since the last look.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "lib/os/pagemap.h"
#include "lib/os/userfault.h"
#include "lib/region/chunk_bitmap.h"
#include "lib/region/geometry.h"

namespace memsync {

// Sees stores and system calls of this process through this mapping, page by page; not what comes
// through another mapping of the same pages, nor by calls on the file, nor what a device puts into
// pages that are pinned (O_DIRECT reads under way, fixed buffers of io_uring). The memory is
// anonymous or a mapping of a file, of tmpfs where `faults` track it. Costs the page tables of all
// of it: 1/512.
//
// A page that the kernel has taken out of the mapping carries a mark if it was protected, and
// nothing if it was written: so what is absent without a mark counts as written. Holes punched into
// the file, pages cut off and pages given back by madvise(2) therefore may be named without a
// write. Threads: take() from one; the writers are whoever they are, and never lose a write.
class WriteTracker {
 public:
  virtual ~WriteTracker() = default;
  // The chunks written since tracking began or the last take(), ascending. A write that happens
  // meanwhile is in this answer or in the next one. Throws std::system_error.
  virtual std::vector<ChunkIndex> take() = 0;

  // The way this kernel offers: scan (6.7), else faults.
  static Userfault::WriteTracking best_offered();
  // Tracking has begun when it returns. `memory` is a page-aligned mapping of the region and
  // outlives the tracker. Throws std::system_error, ENOTSUP where the kernel lacks `how`.
  static std::unique_ptr<WriteTracker> open(std::span<std::byte> memory, const Geometry& geometry,
                                            Userfault::WriteTracking how);
};

// Chunks as they are found in runs of pages: a chunk may be many pages.
class WrittenChunks {
 public:
  explicit WrittenChunks(const Geometry& geometry) : geometry_(geometry) {}
  // Runs of one scan come ascending.
  void add(uint64_t offset, uint64_t length);
  std::vector<ChunkIndex> take() { return std::move(chunks_); }

 private:
  const Geometry geometry_;
  std::vector<ChunkIndex> chunks_;
};

}  // namespace memsync
