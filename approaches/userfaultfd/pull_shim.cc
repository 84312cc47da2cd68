// libmemsync-pull.so: preloaded into a program that maps a placeholder file, makes that mapping a
// region whose pages `memsync pull` brings.
//
//   program                    this library                              memsync pull
//   mmap(placeholder) ───────▶ anonymous memory at the same place
//                              registered, handed over ────────────────▶ FaultServer
//   touch ─────────────────────────── page fault ──────────────────────▶ bytes
//
// Environment: MEMSYNC_REGION the placeholder's path, MEMSYNC_HANDLER the handler's socket,
// MEMSYNC_DIALECT memsync (default) or userfaultfd-go. No symbol but the four below is visible.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "approaches/userfaultfd/handed_region.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {
namespace {

constexpr Nanoseconds kHandOverLimit = std::chrono::seconds(30);

void* plain_mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
#if defined(SYS_mmap2)
  const long result = ::syscall(SYS_mmap2, address, length, protection, flags, fd, offset / 4096);
#else
  const long result = ::syscall(SYS_mmap, address, length, protection, flags, fd, offset);
#endif
  return reinterpret_cast<void*>(result);
}
int plain_munmap(void* address, size_t length) {
  return static_cast<int>(::syscall(SYS_munmap, address, length));
}

// The regions of this process by their first address.
struct Regions {
  std::mutex mutex;
  std::map<uintptr_t, std::unique_ptr<HandedRegion>> by_start;
};

// Never destroyed: the program's last functions may still read a region while it exits. A forked
// child has neither the memory nor the watching threads, and starts with none.
std::atomic<Regions*> g_regions{nullptr};
void start_with_none() {
  g_regions = std::make_unique<Regions>().release();
}
Regions& regions() {
  static const int kOnce = [] {
    start_with_none();
    return ::pthread_atfork(nullptr, nullptr, start_with_none);
  }();
  static_cast<void>(kOnce);
  return *g_regions;
}

// The placeholder's size if `fd` is the placeholder, 0 otherwise.
uint64_t placeholder_bytes(int fd) {
  const char* path = std::getenv("MEMSYNC_REGION");
  struct stat wanted{};
  struct stat given{};
  const bool same = path != nullptr && fd >= 0 && ::fstat(fd, &given) == 0 &&
                    S_ISREG(given.st_mode) && ::stat(path, &wanted) == 0 &&
                    given.st_dev == wanted.st_dev && given.st_ino == wanted.st_ino;
  return same ? static_cast<uint64_t>(given.st_size) : 0;
}

void* fail(const char* why, int error) {
  std::fprintf(stderr, "memsync pull: mapping the region: %s\n", why);
  errno = error;
  return MAP_FAILED;
}

// The kernel checks the request and finds the place; the part that has bytes is then replaced.
void* map_region(void* address, size_t length, int protection, int flags, int fd, off_t offset,
                 uint64_t size) {
  if ((flags & MAP_TYPE) != MAP_PRIVATE && (protection & PROT_WRITE) != 0)
    return fail("it can only be read; map it with MAP_PRIVATE or without PROT_WRITE", EACCES);
  void* whole = plain_mmap(address, length, protection, flags & ~MAP_POPULATE, fd, offset);
  if (whole == MAP_FAILED || static_cast<uint64_t>(offset) >= size) return whole;
  const uint64_t bytes = std::min<uint64_t>(length, size - static_cast<uint64_t>(offset));
  plain_mmap(whole, round_up_to_page(bytes), protection,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  const char* socket = std::getenv("MEMSYNC_HANDLER");
  const char* dialect = std::getenv("MEMSYNC_DIALECT");
  const bool is_ours = dialect == nullptr || std::strcmp(dialect, "userfaultfd-go") != 0;
  try {
    auto region = std::make_unique<HandedRegion>(
        std::span(static_cast<std::byte*>(whole), bytes), static_cast<uint64_t>(offset),
        HandedRegion::Handler{socket == nullptr ? "" : socket,
                              is_ours ? Dialect::memsync : Dialect::userfaultfd_go},
        after(kHandOverLimit));
    const std::lock_guard lock(regions().mutex);
    regions().by_start[reinterpret_cast<uintptr_t>(whole)] = std::move(region);
    return whole;
  } catch (const std::exception& problem) {
    plain_munmap(whole, length);
    return fail(problem.what(), EIO);
  }
}

// What [address, address + length) has of regions.
enum class Overlap : uint8_t {
  none,
  gone,   // they lay in it whole and are no more: the addresses are free
  stays,  // a handler may still place bytes there
};
Overlap let_go(void* address, size_t length) {
  if (g_regions == nullptr) return Overlap::none;  // allocate nothing: the caller may be malloc(3)
  const auto begin = reinterpret_cast<uintptr_t>(address);
  const uintptr_t end = begin + length;
  const std::lock_guard lock(regions().mutex);
  auto result = Overlap::none;
  auto& by_start = regions().by_start;
  for (auto entry = by_start.begin(); entry != by_start.end();) {
    const uintptr_t first = entry->first;
    const uintptr_t last = first + round_up_to_page(entry->second->bytes().size());
    const bool is_inside = begin <= first && last <= end;
    if (first >= end || begin >= last) {
      ++entry;
    } else if (is_inside) {
      const bool is_free = entry->second->let_go() && result != Overlap::stays;
      result = is_free ? Overlap::gone : Overlap::stays;
      entry = by_start.erase(entry);
    } else {
      result = Overlap::stays;
      ++entry;
    }
  }
  return result;
}

bool is_of_a_region(void* address, size_t length) {
  if (g_regions == nullptr) return false;
  const auto begin = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard lock(regions().mutex);
  const auto& by_start = regions().by_start;
  return std::any_of(by_start.begin(), by_start.end(), [&](const auto& entry) {
    return entry.first < begin + length && begin < entry.first + entry.second->bytes().size();
  });
}

// Nothing to touch, and never given to anybody else.
int reserve(void* address, size_t length) {
  const void* reserved = plain_mmap(address, length, PROT_NONE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return reserved == MAP_FAILED ? -1 : 0;
}

}  // namespace
}  // namespace memsync::userfaultfd

#define MEMSYNC_VISIBLE extern "C" __attribute__((visibility("default")))

MEMSYNC_VISIBLE void* mmap(void* address, size_t length, int protection, int flags, int fd,
                           off_t offset) noexcept {
  using namespace memsync::userfaultfd;  // NOLINT(google-build-using-namespace)
  const uint64_t size = (flags & MAP_ANONYMOUS) != 0 ? 0 : placeholder_bytes(fd);
  const bool is_fixed = (flags & MAP_FIXED) != 0;
  if (is_fixed && let_go(address, length) == Overlap::stays)
    return fail("a part of another one is still there", EBUSY);
  if (size == 0) return plain_mmap(address, length, protection, flags, fd, offset);
  return map_region(address, length, protection, flags, fd, offset, size);
}

MEMSYNC_VISIBLE void* mmap64(void* address, size_t length, int protection, int flags, int fd,
                             off64_t offset) noexcept {
  return mmap(address, length, protection, flags, fd, offset);
}

MEMSYNC_VISIBLE int munmap(void* address, size_t length) noexcept {
  using namespace memsync::userfaultfd;  // NOLINT(google-build-using-namespace)
  return let_go(address, length) == Overlap::stays ? reserve(address, length)
                                                   : plain_munmap(address, length);
}

// The kernel lets moved memory go from its userfaultfd, and its missing pages would read as zeros.
MEMSYNC_VISIBLE void* mremap(void* address, size_t length, size_t new_length, int flags,
                             ...) noexcept {
  using namespace memsync::userfaultfd;  // NOLINT(google-build-using-namespace)
  void* target = nullptr;
  if ((flags & MREMAP_FIXED) != 0) {
    va_list more;
    va_start(more, flags);
    target = va_arg(more, void*);
    va_end(more);
  }
  if (is_of_a_region(address, length)) return fail("it can't be moved or resized", EINVAL);
  return reinterpret_cast<void*>(::syscall(SYS_mremap, address, length, new_length, flags, target));
}
