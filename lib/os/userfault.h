// The kernel object: a descriptor on which the faults of registered memory are reported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
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
  // Which door is used. any: the device, the call, the call for user mode only, whichever opens
  // first. The device asks for no privilege but its file mode; `call` for CAP_SYS_PTRACE or the
  // sysctl; `user_mode` for nothing, but a system call into missing memory then gets EFAULT.
  enum class Door : uint8_t { any, device, call, user_mode };
  enum class Poisoning : uint8_t {
    if_offered,  // UFFDIO_POISON where the kernel has it
    by_mapping,  // what older kernels get, for tests on newer ones
  };
  // How writes to registered memory are noticed.
  enum class WriteTracking : uint8_t {
    none,
    scan,    // the kernel marks written pages: PAGEMAP_SCAN finds them (WP_ASYNC, 6.7)
    faults,  // the first write to each protected page is reported and waits for lift_protection()
  };
  struct Wishes {
    Door door = Door::any;
    Poisoning poisoning = Poisoning::if_offered;
    WriteTracking tracking = WriteTracking::none;
    // protect() reaches pages of anonymous memory that are not there (6.4; with `scan` always). Of
    // files it always does.
    bool protects_absent = false;
    bool raises_sigbus = false;  // no report: the touching thread gets SIGBUS
  };
  // Throws std::system_error; ENOTSUP when the kernel lacks what is wished.
  static Userfault open(const Wishes& wishes);
  // One that another process opened, shook hands for and registered its memory with: from here on
  // pages are that process's addresses, which are never followed here, and what is done by mapping
  // (make_unreadable() and poison() where has_poison() is false) is not meant. `has_poison`:
  // UFFDIO_POISON may be used. Throws std::system_error, EINVAL when it is something else.
  static Userfault adopt(FileDescriptor descriptor, bool has_poison);
  // What this machine lacks, one sentence each with the next step; empty when open() would succeed.
  static std::vector<std::string> problems(const Wishes& wishes);

  enum class Watch : uint8_t { missing, writes, both };
  // From here on the first touch of each missing page waits until the page is placed; writes are
  // noticed on pages that are protected.
  void register_pages(std::span<std::byte> pages, Watch watch = Watch::missing) const;
  // Back to plain memory: waiting threads go on, and a page not placed reads as zeros.
  void unregister(std::span<std::byte> pages) const;

  // Whether a page that is placed is protected at once, so that its first write is noticed.
  enum class Protection : uint8_t { off, on };
  // Copies `pages` (whole pages) to `at` and wakes who waits there. A page that is already present
  // is left as it is: what the application wrote wins. Pages that the application has unmapped are
  // passed over. Throws std::system_error when a page can't be placed.
  //
  // While the memory is being moved (mremap(2)) this tries again, until somebody has taken the
  // event: `meanwhile` is called each time, and takes it where nobody else may be able to.
  void place(std::byte* at, std::span<const std::byte> pages,
             Protection protection = Protection::off,
             const std::function<void()>& meanwhile = {}) const;
  // The same with zeros, which cost no memory until they are written.
  void place_zeros(std::span<std::byte> pages, const std::function<void()>& meanwhile = {}) const;
  // Every present page of `pages` is protected; absent ones where Wishes::protects_absent says so,
  // at the cost of their page tables.
  void protect(std::span<std::byte> pages) const;
  // The same for a caller that holds a lock: false where the memory is being moved and nothing was
  // done, since whoever takes the event of it may wait for that lock.
  bool try_protect(std::span<std::byte> pages) const;
  // Lets who writes to `pages` go on; while the memory is being moved, to be reported once more.
  void lift_protection(std::span<std::byte> pages) const;
  // Every missing page of `pages` raises SIGBUS when touched; waiting threads get it now.
  // `meanwhile`: as of place().
  void poison(std::span<std::byte> pages, const std::function<void()>& meanwhile = {}) const;
  // The same for all of a region, at its end, when nobody else need take events: what waits to be
  // taken is, and what was moved is made unreadable as well. What the application has unmapped is
  // left alone, but by kernels without UFFDIO_POISON, where all of `pages`, present ones too, is
  // mapped over.
  void make_unreadable(std::span<std::byte> pages) const;
  // The same for a run of pages of which none is there, in memory that is nobody else's: it takes
  // no page tables, where poison takes an entry for each page (2 MB and 40 ms a GiB).
  void map_over(std::span<std::byte> pages) const;
  // Lets waiting threads look again.
  void wake(std::span<std::byte> pages) const noexcept;

  struct Event {
    enum class Kind : uint8_t {
      missing,  // the page at `address` is missing and somebody waits for it
      write,    // somebody waits to write to the protected page at `address`
      moved,    // the application has moved `length` bytes from `address` to `moved_to` (mremap(2))
    };
    Kind kind = Kind::missing;
    std::byte* address = nullptr;  // of a page
    std::byte* moved_to = nullptr;
    uint64_t length = 0;
  };
  // Takes what waits to be taken; 0 when there is nothing now. Never blocks.
  size_t take_events(std::span<Event> events) const;
  const FileDescriptor& descriptor() const noexcept { return descriptor_; }
  bool has_poison() const noexcept { return has_poison_; }

 private:
  Userfault(FileDescriptor descriptor, bool has_poison)
      : descriptor_(std::move(descriptor)), has_poison_(has_poison) {}
  void take_moved(std::vector<std::span<std::byte>>& moved) const;
  bool set_protection(std::span<std::byte> pages, uint64_t mode) const;
  FileDescriptor descriptor_;
  bool has_poison_ = false;
};

// The parts of `pages` that a userfaultfd watches in this process, ascending. Throws
// std::system_error. Source: proc(5), /proc/pid/smaps, VmFlags "um", "ui" and "uw".
std::vector<std::span<std::byte>> watched_parts(std::span<std::byte> pages);

}  // namespace memsync
