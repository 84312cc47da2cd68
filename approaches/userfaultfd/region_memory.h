// What the pager does to the region's memory: places pages, poisons them, drops them, lets go.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/os/file_descriptor.h"
#include "lib/region/geometry.h"

namespace memsync::userfaultfd {

// Memory whose missing pages raise faults, in this process or in another one. Offsets are bytes
// from the region's start. Threads: every member from any thread; place(), poison() and drop() are
// not called at once. Members that fail throw std::system_error.
class RegionMemory {
 public:
  RegionMemory() = default;
  RegionMemory(const RegionMemory&) = delete;
  RegionMemory& operator=(const RegionMemory&) = delete;
  virtual ~RegionMemory() = default;

  // Places `pages`, whole pages, at `offset`.
  virtual void place(uint64_t offset, std::span<const std::byte> pages) = 0;
  virtual void poison(ByteRange range) = 0;
  // The pages of `range`, which begins and ends with whole pages, are missing again.
  virtual void drop(ByteRange range) const = 0;
  // Plain memory from here on; every page has been placed.
  virtual void let_go() = 0;
  // Waiting threads get SIGBUS, and so does every later access to a page that is missing.
  virtual void make_unreadable() noexcept = 0;

  // The offsets of faults that wait to be taken, each the start of its page; 0 when there are none
  // now. Never blocks; descriptor() is readable when there are some.
  virtual size_t take_faults(std::span<uint64_t> offsets) = 0;
  virtual void wake(ByteRange range) const noexcept = 0;
  // Whether the next touch of the page at `offset` finds it.
  virtual bool is_populated(uint64_t offset) const = 0;
  virtual const FileDescriptor& descriptor() const noexcept = 0;
  virtual uint64_t size_bytes() const noexcept = 0;
  // The region where this process sees it; empty when it is another process's.
  virtual std::span<std::byte> memory() const noexcept { return {}; }

 protected:
  // For place() and poison(), which get nowhere while the memory is being moved: the move waits
  // until its event is taken, and who takes events may be waiting for the caller. The faults that
  // are taken on the way are reported again when their threads look again.
  void take_moves() {
    std::array<uint64_t, 32> faults;
    while (take_faults(faults) != 0) {
    }
    wake({0, size_bytes()});
  }
};

}  // namespace memsync::userfaultfd
