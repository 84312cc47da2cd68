// The kernel object: a descriptor on which the missing pages of registered memory are reported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/os/file_descriptor.h"

namespace memsync {

// Registered ranges are whole pages. Move-only; closing it unregisters all and wakes every waiting
// thread, which then finds zero pages: make the memory unreadable first. Threads: any.
// Source: Linux Documentation/admin-guide/mm/userfaultfd.rst; userfaultfd(2), ioctl_userfaultfd(2).
class Userfault {
 public:
  enum class Poisoning : uint8_t {
    if_offered,  // UFFDIO_POISON where the kernel has it
    by_mapping,  // what older kernels get, for tests on newer ones
  };
  // The first of /dev/userfaultfd, userfaultfd(2), and userfaultfd(2) for faults of user mode only
  // that this process may open. Throws std::system_error.
  static Userfault open(Poisoning poisoning = Poisoning::if_offered);
  // One that another process opened, shook hands for and registered its memory with: from here on
  // `pages` are that process's addresses, which are never followed here, and only place(),
  // poison(), wake() and take_faults() are meant. `has_poison`: UFFDIO_POISON may be used. Throws
  // std::system_error, EINVAL when it is something else.
  static Userfault adopt(FileDescriptor descriptor, bool has_poison);
  // What this machine lacks, one sentence each with the next step; empty when open() would succeed.
  static std::vector<std::string> problems();

  // From here on the first touch of each page waits until the page is placed.
  void register_missing(std::span<std::byte> pages) const;
  // Back to plain memory: waiting threads go on, and a page not placed reads as zeros.
  void unregister(std::span<std::byte> pages) const;

  // What to make of pages that are not registered (any more).
  enum class Unregistered : uint8_t { is_refused, is_skipped };
  // Copies `pages` (whole pages) to `at` and wakes who waits there. A page that is already present
  // is left as it is: what the application wrote wins. Throws std::system_error when a page can't
  // be placed (ENOENT: not registered any more).
  void place(std::byte* at, std::span<const std::byte> pages,
             Unregistered unregistered = Unregistered::is_refused) const;
  // Every missing page of `pages` raises SIGBUS when touched; waiting threads get it now.
  void poison(std::span<std::byte> pages,
              Unregistered unregistered = Unregistered::is_refused) const;
  // Replaces all of `pages`, present ones too, by memory that raises SIGBUS; wakes waiting threads.
  void make_unreadable(std::span<std::byte> pages) const;
  // Lets waiting threads look again.
  void wake(std::span<std::byte> pages) const noexcept;

  // Takes the addresses of faults that wait to be taken; 0 when there are none now. An address is
  // the start of its page. Never blocks.
  size_t take_faults(std::span<uint64_t> addresses) const;
  const FileDescriptor& descriptor() const noexcept { return descriptor_; }
  bool has_poison() const noexcept { return has_poison_; }

 private:
  Userfault(FileDescriptor descriptor, bool has_poison)
      : descriptor_(std::move(descriptor)), has_poison_(has_poison) {}
  FileDescriptor descriptor_;
  bool has_poison_ = false;
};

// Whether the page at `address` is in memory or swapped out: false means the next touch faults.
bool is_populated(const std::byte* address);

}  // namespace memsync
