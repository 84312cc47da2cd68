// The region in memory of this process.
#pragma once

#include "approaches/userfaultfd/region_memory.h"
#include "lib/os/userfault.h"

namespace memsync::userfaultfd {

// The memory is private and anonymous and outlives this; whatever it held is dropped. Destroying
// this before let_go() makes the memory raise SIGBUS, so that no thread sleeps for ever and none
// reads zeros for bytes that never came.
class OwnMemory : public RegionMemory {
 public:
  // bytes: the mapping, page-aligned. Throws std::system_error.
  explicit OwnMemory(std::span<std::byte> bytes,
                     Userfault::Poisoning poisoning = Userfault::Poisoning::if_offered);
  ~OwnMemory() override;

  void place(uint64_t offset, std::byte* staging, uint64_t length) const override;
  void poison(ByteRange range) const override;
  void drop_all() const override;
  void let_go() override;
  void make_unreadable() noexcept override;

  size_t take_faults(std::span<uint64_t> offsets) const override;
  void wake(ByteRange range) const noexcept override;
  bool is_populated(uint64_t offset) const override {
    return memsync::is_populated(&bytes_[offset]);
  }
  const FileDescriptor& descriptor() const noexcept override { return userfault_.descriptor(); }
  uint64_t size_bytes() const noexcept override { return bytes_.size(); }

 private:
  const std::span<std::byte> bytes_;
  const std::span<std::byte> pages_;  // bytes_, rounded up
  const Userfault userfault_;
  bool let_go_ = false;
};

}  // namespace memsync::userfaultfd
