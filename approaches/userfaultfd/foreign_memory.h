// The region in memory of another process, reached through the userfaultfd that it handed over.
#pragma once

#include <atomic>

#include "approaches/userfaultfd/region_memory.h"
#include "lib/os/pagemap.h"
#include "lib/os/unix_socket.h"
#include "lib/os/userfault.h"

namespace memsync::userfaultfd {

// Pages that the other process has unmapped, and a process that has ended, are not errors: nobody
// waits there. What it may not do any more is decided by poison, which takes the missing pages
// alone: those that came stay readable.
class ForeignMemory : public RegionMemory {
 public:
  // start, length: the registered memory in the other process, `start` page-aligned.
  // connection: to the application, which outlives this. Without UFFDIO_POISON (before Linux 6.6)
  // the only way to keep threads from sleeping is to hang up, so that its end makes the memory
  // unreadable. Throws std::system_error, EINVAL when that is no userfaultfd or not for such
  // memory.
  ForeignMemory(FileDescriptor userfault, bool has_poison, uint64_t start, uint64_t length,
                const Peer& peer, int connection);

  // The application takes care of its memory itself, and may use it for something else soon: from
  // here on nothing is placed or poisoned, but for what is under way. Any thread.
  void disown() noexcept { is_disowned_ = true; }

  void place(uint64_t offset, std::span<const std::byte> pages) override;
  void poison(ByteRange range) override;
  void drop(ByteRange range) const override;  // throws ENOTSUP: those of others can't be dropped
  void let_go() override;
  void make_unreadable() noexcept override;

  size_t take_faults(std::span<uint64_t> offsets) override;
  void wake(ByteRange range) const noexcept override;
  // Unknown counts as missing: a page that is there after all stays as it is when it comes again.
  bool is_populated(uint64_t offset) const override {
    return pagemap_.is_populated(pages_at(offset, 1).data());
  }
  const FileDescriptor& descriptor() const noexcept override { return userfault_.descriptor(); }
  uint64_t size_bytes() const noexcept override { return length_; }

 private:
  bool is_missing_here(const Userfault::Event& event) const;
  void note_move(const Userfault::Event& event) const;
  void make_unreadable(std::span<std::byte> pages) const noexcept;
  std::span<std::byte> pages_at(uint64_t offset, uint64_t length) const noexcept;

  const Userfault userfault_;
  const uint64_t start_;
  const uint64_t length_;
  const int connection_;
  std::atomic<bool> is_disowned_{false};
  const Pagemap pagemap_;  // of that memory, whatever becomes of the process's number
};

}  // namespace memsync::userfaultfd
