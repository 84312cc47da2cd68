// The region in memory of this process.
#pragma once

#include <vector>

#include "approaches/userfaultfd/region_memory.h"
#include "lib/os/mutex.h"
#include "lib/os/pagemap.h"
#include "lib/os/userfault.h"
#include "lib/region/chunk_bitmap.h"

namespace memsync::userfaultfd {

// The memory is private and anonymous and outlives this; whatever it held is dropped. Destroying
// this before let_go() makes the memory raise SIGBUS, so that no thread sleeps for ever and none
// reads zeros for bytes that never came.
class OwnMemory : public RegionMemory {
 public:
  // bytes: the mapping, page-aligned. With write tracking each page is protected as it is placed,
  // so that an empty region costs nothing. Throws std::system_error.
  explicit OwnMemory(std::span<std::byte> bytes, const Userfault::Wishes& wishes = {});
  ~OwnMemory() override;

  // Pages of nothing but zeros take no memory until they are written, unless writes are tracked.
  void place(uint64_t offset, std::span<const std::byte> pages) override;
  void poison(ByteRange range) override;
  void drop(ByteRange range) const override;
  void let_go() override;
  void make_unreadable() noexcept override;

  size_t take_faults(std::span<uint64_t> offsets) override;
  void wake(ByteRange range) const noexcept override;
  bool is_populated(uint64_t offset) const override {
    return pagemap_.is_populated(&bytes_[offset]);
  }
  const FileDescriptor& descriptor() const noexcept override { return userfault_.descriptor(); }
  uint64_t size_bytes() const noexcept override { return bytes_.size(); }

  // The ranges of whole pages that the application wrote since they were placed or last taken,
  // ascending; empty without write tracking. A write meanwhile is in this answer or the next.
  std::vector<ByteRange> take_written();
  // The ranges of whole pages that are not there, ascending.
  std::vector<ByteRange> absent() const;
  std::span<std::byte> memory() const noexcept override { return bytes_; }

 private:
  uint64_t offset_of(const std::byte* address) const noexcept {
    return static_cast<uint64_t>(address - bytes_.data());
  }
  Userfault::Protection protection() const noexcept {
    return tracking_ == Userfault::WriteTracking::none ? Userfault::Protection::off
                                                       : Userfault::Protection::on;
  }
  void note_write(const Userfault::Event& event);
  bool protect_again(ChunkIndex page);
  void take_away(std::span<std::byte> absent, std::span<const std::span<std::byte>> watched) const;
  [[noreturn]] void refuse_move(const Userfault::Event& event) const;

  const std::span<std::byte> bytes_;
  const std::span<std::byte> pages_;  // bytes_, rounded up
  const Userfault::WriteTracking tracking_;
  const Userfault userfault_;
  const Pagemap pagemap_;
  Mutex changing_;       // held while a page's mark and its protection change, as in WriteTracker
  ChunkBitmap written_;  // by page; of tracking by faults
  bool let_go_ = false;
};

}  // namespace memsync::userfaultfd
