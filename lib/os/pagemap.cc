#include "lib/os/pagemap.h"

#include <array>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/userfault_kernel.h"

namespace memsync {

namespace {

uint64_t address_of(const std::byte* at) {
  return reinterpret_cast<uint64_t>(at);
}

}  // namespace

Pagemap::Pagemap() : file_(FileDescriptor::open("/proc/self/pagemap", O_RDONLY)) {}

bool Pagemap::is_populated(const std::byte* address) const {
  constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;
  uint64_t entry = 0;
  const auto at = static_cast<off_t>(address_of(address) / page_bytes() * sizeof(entry));
  return ::pread(file_.get(), &entry, sizeof(entry), at) == sizeof(entry) &&
         (entry & kPresentOrSwapped) != 0;
}

void Pagemap::for_each_written(std::span<std::byte> pages, Then then,
                               const std::function<void(std::span<std::byte>)>& found) const {
  // More than 512 at a time, and the kernel reports the last ones twice.
  std::array<ScannedRun, 512> runs;
  PagemapScan scan{};
  scan.size = sizeof(scan);
  scan.flags = then == Then::protect ? kScanProtectMatching | kScanCheckAsync : 0;
  scan.start = address_of(pages.data());
  scan.end = scan.start + pages.size();
  scan.vec = reinterpret_cast<uint64_t>(runs.data());
  scan.vec_len = runs.size();
  scan.category_mask = kPageIsWritten;
  // Also a page that is nowhere lacks protection, and would pass for written.
  scan.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
  scan.return_mask = kPageIsWritten;
  while (scan.start < scan.end) {
    const int count = ::ioctl(file_.get(), kIoctlPagemapScan, &scan);
    if (count < 0 && errno == EINTR) continue;
    check(count, "scanning " + std::to_string(pages.size()) + " bytes for written pages");
    for (const ScannedRun& run : std::span(runs).first(static_cast<size_t>(count)))
      found(pages.subspan(run.start - address_of(pages.data()), run.end - run.start));
    scan.start = scan.walk_end;
  }
}

}  // namespace memsync
