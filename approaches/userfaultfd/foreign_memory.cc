#include "approaches/userfaultfd/foreign_memory.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
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
      pagemap_(Pagemap(open_pagemap(peer))) {
  // One that took no handshake, and a range that is not of user memory, answer EINVAL.
  uffdio_range range{start, round_up_to_page(length)};
  check(::ioctl(descriptor().get(), UFFDIO_WAKE, &range), "trying a handed-over userfaultfd");
}

std::span<std::byte> ForeignMemory::pages_at(uint64_t offset, uint64_t length) const noexcept {
  return {reinterpret_cast<std::byte*>(start_ + offset), round_up_to_page(length)};
}

void ForeignMemory::place(uint64_t offset, std::span<const std::byte> pages) {
  if (is_disowned_) return;
  unless_gone([&] {
    userfault_.place(pages_at(offset, pages.size()).data(), pages, Userfault::Protection::off,
                     [this] { take_moves(); });
  });
}

// Without poison the application's end, which sees the connection close, is asked to.
void ForeignMemory::poison(ByteRange range) {
  if (is_disowned_) return;
  if (userfault_.has_poison())
    unless_gone(
        [&] { userfault_.poison(pages_at(range.offset, range.length), [this] { take_moves(); }); });
  else
    ::shutdown(connection_, SHUT_RDWR);
}

void ForeignMemory::drop(ByteRange) const {
  throw_errno("dropping pages of another process", ENOTSUP);
}

void ForeignMemory::let_go() {
  unless_gone([&] { userfault_.unregister(pages_at(0, length_)); });
}

void ForeignMemory::make_unreadable() noexcept {
  if (!is_disowned_) make_unreadable(pages_at(0, length_));
}

void ForeignMemory::make_unreadable(std::span<std::byte> pages) const noexcept {
  try {
    if (userfault_.has_poison()) {
      unless_gone([&] { userfault_.make_unreadable(pages); });
      return;
    }
  } catch (const std::exception&) {  // then as without poison
  }
  ::shutdown(connection_, SHUT_RDWR);
}

size_t ForeignMemory::take_faults(std::span<uint64_t> offsets) {
  std::array<Userfault::Event, 32> events;
  for (;;) {
    const size_t taken =
        userfault_.take_events(std::span(events).first(std::min(offsets.size(), events.size())));
    size_t count = 0;
    for (const auto& event : std::span(events).first(taken)) {
      if (event.kind == Userfault::Event::Kind::moved) note_move(event);
      if (is_missing_here(event))
        offsets[count++] = reinterpret_cast<uint64_t>(event.address) - start_;
    }
    if (count != 0 || taken == 0) return count;  // all were others': there may be more
  }
}

// Its pages would have to come to where nobody keeps count of them; the others go on coming. Faults
// that were taken on the way are reported again when their threads look again.
void ForeignMemory::note_move(const Userfault::Event& event) const {
  make_unreadable({event.moved_to, event.length});
  wake({0, length_});
}

// Of other memory that was registered with the same descriptor, and of writes that its opener wants
// to know of, nothing is known.
bool ForeignMemory::is_missing_here(const Userfault::Event& event) const {
  const auto address = reinterpret_cast<uint64_t>(event.address);
  return event.kind == Userfault::Event::Kind::missing && address >= start_ &&
         address - start_ < length_;
}

void ForeignMemory::wake(ByteRange range) const noexcept {
  userfault_.wake(pages_at(range.offset, range.length));
}

}  // namespace memsync::userfaultfd
