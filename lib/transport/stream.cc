#include "lib/transport/stream.h"

#include <algorithm>
#include <chrono>
#include <poll.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

// Waits until `events` are there or the other end is gone; throws ETIMEDOUT at the deadline.
void wait_for(int descriptor, short events, Deadline deadline, const char* attempt) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) throw_errno(attempt, ETIMEDOUT);
    pollfd wanted{descriptor, events, 0};
    // Sixty seconds at a time, so that a far deadline fits poll(2)'s int.
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::min<long>(left, 60'000)));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw_errno(attempt);
  }
}

}  // namespace

size_t Stream::read_part(std::span<std::byte> into, Deadline deadline) {
  const iovec room{into.data(), into.size()};
  while (true) {
    if (const auto moved = read_some({&room, 1})) return *moved;
    wait_for(descriptor(), POLLIN, deadline, "reading from the peer");
  }
}

void Stream::read_all(std::span<std::byte> into, Deadline deadline) {
  while (!into.empty()) {
    const size_t moved = read_part(into, deadline);
    if (moved == 0) throw_errno("reading from the peer, which ended the stream", ECONNRESET);
    into = into.subspan(moved);
  }
}

void Stream::write_all(std::span<const std::byte> from, Deadline deadline) {
  while (!from.empty()) {
    const iovec rest{const_cast<std::byte*>(from.data()), from.size()};
    const auto moved = write_some({&rest, 1});
    if (!moved) {
      wait_for(descriptor(), POLLOUT, deadline, "writing to the peer");
    } else {
      from = from.subspan(*moved);
    }
  }
}

}  // namespace memsync
