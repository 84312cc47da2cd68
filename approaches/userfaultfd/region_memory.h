// What the pager does to the region's memory: places pages, poisons them, drops them, lets go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/os/file_descriptor.h"
#include "lib/region/geometry.h"

namespace memsync::userfaultfd {

// Memory whose missing pages raise faults, in this process or in another one. Offsets are bytes
// from the region's start. Threads: every member from any thread; place(), poison() and drop_all()
// are not called at once. Members that fail throw std::system_error.
class RegionMemory {
 public:
  RegionMemory() = default;
  RegionMemory(const RegionMemory&) = delete;
  RegionMemory& operator=(const RegionMemory&) = delete;
  virtual ~RegionMemory() = default;

  // Places `length` bytes of `staging` at `offset`, a page's start. Where they end within a page
  // (the region's tail) the rest of that page is zeroed in `staging` first, which has room for it.
  virtual void place(uint64_t offset, std::byte* staging, uint64_t length) const = 0;
  virtual void poison(ByteRange range) const = 0;
  // Every page is missing again.
  virtual void drop_all() const = 0;
  // Plain memory from here on; every page has been placed.
  virtual void let_go() = 0;
  // Waiting threads get SIGBUS, and so does every later access.
  virtual void make_unreadable() noexcept = 0;

  // The offsets of faults that wait to be taken, each the start of its page; 0 when there are none
  // now. Never blocks; descriptor() is readable when there are some.
  virtual size_t take_faults(std::span<uint64_t> offsets) const = 0;
  virtual void wake(ByteRange range) const noexcept = 0;
  // Whether the next touch of the page at `offset` finds it.
  virtual bool is_populated(uint64_t offset) const = 0;
  virtual const FileDescriptor& descriptor() const noexcept = 0;
  virtual uint64_t size_bytes() const noexcept = 0;
};

}  // namespace memsync::userfaultfd
