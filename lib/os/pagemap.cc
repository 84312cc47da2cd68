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

// Source: Linux Documentation/admin-guide/mm/pagemap.rst.
constexpr uint64_t kSoftDirty = uint64_t{1} << 55;
constexpr uint64_t kWriteProtected = uint64_t{1} << 57;
constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;

}  // namespace

Pagemap::Pagemap() : file_(FileDescriptor::open("/proc/self/pagemap", O_RDONLY)) {}

bool Pagemap::is_populated(const std::byte* address) const {
  uint64_t entry = 0;
  const auto at = static_cast<off_t>(address_of(address) / page_bytes() * sizeof(entry));
  return ::pread(file_.get(), &entry, sizeof(entry), at) == sizeof(entry) &&
         (entry & kPresentOrSwapped) != 0;
}

void Pagemap::for_each_entry(std::span<std::byte> pages, const char* attempt,
                             bool (*wanted)(uint64_t entry),
                             const std::function<void(std::span<std::byte>)>& found) const {
  std::array<uint64_t, 1024> entries;
  const uint64_t count = pages.size() / page_bytes();
  const uint64_t first = address_of(pages.data()) / page_bytes();
  uint64_t run = 0;  // wanted pages up to here
  const auto end_run = [&](uint64_t page) {
    if (run != 0) found(pages.subspan((page - run) * page_bytes(), run * page_bytes()));
    run = 0;
  };
  for (uint64_t done = 0; done < count;) {
    const size_t room = std::min<size_t>(entries.size(), count - done) * sizeof(uint64_t);
    const ssize_t got = ::pread(file_.get(), entries.data(), room,
                                static_cast<off_t>((first + done) * sizeof(uint64_t)));
    if (got < 0 && errno == EINTR) continue;
    check(got, attempt);
    if (got == 0) throw_errno(std::string(attempt) + " behind the end of memory", EIO);
    for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(uint64_t); ++i, ++done) {
      if (wanted(entries[i]))
        ++run;
      else
        end_run(done);
    }
  }
  end_run(count);
}

void Pagemap::for_each_absent(std::span<std::byte> pages,
                              const std::function<void(std::span<std::byte>)>& found) const {
  for_each_entry(
      pages, "looking for absent pages",
      [](uint64_t entry) { return (entry & kPresentOrSwapped) == 0; }, found);
}

void Pagemap::for_each_unprotected(std::span<std::byte> pages,
                                   const std::function<void(std::span<std::byte>)>& found) const {
  for_each_entry(
      pages, "looking for written pages",
      [](uint64_t entry) { return (entry & kWriteProtected) == 0; }, found);
}

void Pagemap::for_each_soft_dirty(std::span<std::byte> pages,
                                  const std::function<void(std::span<std::byte>)>& found) const {
  for_each_entry(
      pages, "looking for soft-dirty pages",
      [](uint64_t entry) { return (entry & kSoftDirty) != 0 || (entry & kPresentOrSwapped) == 0; },
      found);
}

void Pagemap::clear_soft_dirty() {
  const FileDescriptor file = FileDescriptor::open("/proc/self/clear_refs", O_WRONLY);
  write_all(file.get(), "4", 1, "clearing soft-dirty bits");
}

// New memory is soft-dirty from its beginning.
bool Pagemap::has_soft_dirty() {
  const Mapping memory = Mapping::anonymous(page_bytes());
  *reinterpret_cast<volatile std::byte*>(memory.bytes().data()) = std::byte{1};
  bool has = false;
  Pagemap().for_each_entry(
      memory.bytes(), "probing soft-dirty bits",
      [](uint64_t entry) { return (entry & kSoftDirty) != 0; },
      [&](std::span<std::byte>) { has = true; });
  return has;
}

void Pagemap::for_each_written(std::span<std::byte> pages, Then then, Absent absent,
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
  // A page that is nowhere and has no mark lacks protection, and so passes for written. (Asking for
  // written pages alone is also what the kernel has a short cut for.)
  if (absent == Absent::left_out) scan.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
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
