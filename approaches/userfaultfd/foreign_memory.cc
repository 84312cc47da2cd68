#include "approaches/userfaultfd/foreign_memory.h"

#include <cstring>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {

namespace {

// Runs `work`; that the process, or the memory it had, is gone is nobody's trouble.
template <typename Work>
void unless_gone(Work&& work) {
  try {
    work();
  } catch (const std::system_error& problem) {
    if (problem.code() != std::errc::no_such_process) throw;
  }
}

bool has_ended(const Peer& peer) {
  pollfd process{peer.process.get(), POLLIN, 0};
  return ::poll(&process, 1, 0) > 0;
}

// An open pagemap stays that of the memory it was opened for. The number meant the peer while the
// peer lived, which is looked at afterwards. Empty where it may not be read.
FileDescriptor open_pagemap(const Peer& peer) {
  const std::string path = "/proc/" + std::to_string(peer.pid) + "/pagemap";
  FileDescriptor pagemap{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  return has_ended(peer) ? FileDescriptor{} : std::move(pagemap);
}

}  // namespace

ForeignMemory::ForeignMemory(FileDescriptor userfault, bool has_poison, uint64_t start,
                             uint64_t length, const Peer& peer, int connection)
    : userfault_(Userfault::adopt(std::move(userfault), has_poison)),
      start_(start),
      length_(length),
      connection_(connection),
      pagemap_(open_pagemap(peer)) {
  // One that took no handshake, and a range that is not of user memory, answer EINVAL.
  uffdio_range range{start, round_up_to_page(length)};
  check(::ioctl(descriptor().get(), UFFDIO_WAKE, &range), "trying a handed-over userfaultfd");
}

std::span<std::byte> ForeignMemory::pages_at(uint64_t offset, uint64_t length) const noexcept {
  return {reinterpret_cast<std::byte*>(start_ + offset), round_up_to_page(length)};
}

void ForeignMemory::place(uint64_t offset, std::byte* staging, uint64_t length) const {
  if (is_disowned_) return;
  const auto pages = pages_at(offset, length);
  std::memset(staging + length, 0, pages.size() - length);
  unless_gone([&] {
    userfault_.place(pages.data(), {staging, pages.size()}, Userfault::Unregistered::is_skipped);
  });
}

void ForeignMemory::poison(ByteRange range) const {
  if (is_disowned_) return;
  if (!userfault_.has_poison()) {
    ::shutdown(connection_, SHUT_RDWR);
    return;
  }
  unless_gone([&] {
    userfault_.poison(pages_at(range.offset, range.length), Userfault::Unregistered::is_skipped);
  });
}

void ForeignMemory::drop_all() const {
  throw_errno("dropping the pages of another process", ENOTSUP);
}

void ForeignMemory::let_go() {
  unless_gone([&] { userfault_.unregister(pages_at(0, length_)); });
}

void ForeignMemory::make_unreadable() noexcept {
  try {
    poison({0, length_});
  } catch (const std::exception&) {
    ::shutdown(connection_, SHUT_RDWR);
  }
}

size_t ForeignMemory::take_faults(std::span<uint64_t> offsets) const {
  const size_t taken = userfault_.take_faults(offsets);
  size_t count = 0;
  for (const uint64_t address : offsets.first(taken)) {
    // Other memory that was registered with the same descriptor: nothing is known of it.
    if (address >= start_ && address - start_ < length_) offsets[count++] = address - start_;
  }
  return count;
}

void ForeignMemory::wake(ByteRange range) const noexcept {
  userfault_.wake(pages_at(range.offset, range.length));
}

bool ForeignMemory::is_populated(uint64_t offset) const {
  constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;
  uint64_t entry = 0;
  const auto at = static_cast<off_t>((start_ + offset) / page_bytes() * sizeof(entry));
  const ssize_t got = ::pread(pagemap_.get(), &entry, sizeof entry, at);
  if (got == 0) return true;  // the process has ended: nobody waits for the page
  // Unknown counts as missing: a page that is there after all stays as it is when it comes again.
  return got == sizeof entry && (entry & kPresentOrSwapped) != 0;
}

}  // namespace memsync::userfaultfd
