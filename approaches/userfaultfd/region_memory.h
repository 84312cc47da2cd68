// The destination's mapping while its pages come from elsewhere: placed, poisoned, dropped, let go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "approaches/userfaultfd/userfault.h"
#include "lib/region/geometry.h"

namespace memsync::userfaultfd {

// Offsets are bytes from the region's start. The memory is private and anonymous and outlives this;
// whatever it held is dropped. Destroying it before let_go() makes the memory raise SIGBUS, so that
// no thread sleeps for ever and none reads zeros for bytes that never came.
// Threads: every member from any thread; place(), poison() and drop_all() are not called at once.
class RegionMemory {
 public:
  // bytes: the mapping, page-aligned. Throws std::system_error.
  explicit RegionMemory(std::span<std::byte> bytes,
                        Userfault::Poisoning poisoning = Userfault::Poisoning::if_offered);
  RegionMemory(const RegionMemory&) = delete;
  RegionMemory& operator=(const RegionMemory&) = delete;
  ~RegionMemory();

  // Places `length` bytes of `staging` at `offset`, a page's start. Where they end within a page
  // (the region's tail) the rest of that page is zeroed in `staging` first, which has room for it.
  void place(uint64_t offset, std::byte* staging, uint64_t length) const;
  void poison(ByteRange range) const;
  // Every page is missing again.
  void drop_all() const;
  // Plain memory from here on; every page has been placed.
  void let_go();
  // Waiting threads get SIGBUS, and so does every later access.
  void make_unreadable() noexcept;

  size_t take_faults(std::span<uint64_t> offsets) const;
  void wake(ByteRange range) const noexcept;
  bool is_populated(uint64_t offset) const { return userfaultfd::is_populated(&bytes_[offset]); }
  const FileDescriptor& descriptor() const noexcept { return userfault_.descriptor(); }
  uint64_t size_bytes() const noexcept { return bytes_.size(); }

 private:
  const std::span<std::byte> bytes_;
  const std::span<std::byte> pages_;  // bytes_, rounded up
  const Userfault userfault_;
  bool let_go_ = false;
};

}  // namespace memsync::userfaultfd
