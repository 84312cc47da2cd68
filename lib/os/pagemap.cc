#include "lib/os/pagemap.h"

#include <algorithm>
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

constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;

}  // namespace

Pagemap::Pagemap() : file_(FileDescriptor::open("/proc/self/pagemap", O_RDONLY)) {}

bool Pagemap::is_populated(const std::byte* address) const {
  uint64_t entry = 0;
  const auto at = static_cast<off_t>(address_of(address) / page_bytes() * sizeof(entry));
  return ::pread(file_.get(), &entry, sizeof(entry), at) == sizeof(entry) &&
         (entry & kPresentOrSwapped) != 0;
}

void Pagemap::for_each_absent(std::span<std::byte> pages,
                              const std::function<void(std::span<std::byte>)>& found) const {
  std::array<uint64_t, 1024> entries;
  const uint64_t count = pages.size() / page_bytes();
  const uint64_t first = address_of(pages.data()) / page_bytes();
  uint64_t run = 0;  // absent pages up to here
  const auto end_run = [&](uint64_t page) {
    if (run != 0) found(pages.subspan((page - run) * page_bytes(), run * page_bytes()));
    run = 0;
  };
  for (uint64_t done = 0; done < count;) {
    const size_t wanted = std::min<size_t>(entries.size(), count - done) * sizeof(uint64_t);
    const ssize_t got = ::pread(file_.get(), entries.data(), wanted,
                                static_cast<off_t>((first + done) * sizeof(uint64_t)));
    if (got < 0 && errno == EINTR) continue;
    check(got, "looking for absent pages");
    if (got == 0) throw_errno("looking for absent pages behind the end of memory", EIO);
    for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(uint64_t); ++i, ++done) {
      if ((entries[i] & kPresentOrSwapped) == 0)
        ++run;
      else
        end_run(done);
    }
  }
  end_run(count);
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
