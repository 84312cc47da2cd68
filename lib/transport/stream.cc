#include "lib/transport/stream.h"

#include <algorithm>
#include <chrono>
#include <poll.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

// A plain end that talks to a TLS one gets this alone: a fatal alert of 7 bytes (RFC 8446, 5.1, 6).
bool is_tls_alert(std::span<const std::byte> came) {
  return came.size() == 7 && came[0] == std::byte{21} && came[1] == std::byte{3} &&
         came[3] == std::byte{0} && came[4] == std::byte{2} && came[5] == std::byte{2};
}

}  // namespace

void Stream::wait_for(int descriptor, short events, Deadline deadline, const char* attempt) {
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

size_t Stream::read_part(std::span<std::byte> into, Deadline deadline) {
  const iovec room{into.data(), into.size()};
  while (true) {
    if (const auto moved = read_some({&room, 1})) return *moved;
    wait_for(descriptor(), events_for(POLLIN), deadline, "reading from the peer");
  }
}

void Stream::read_all(std::span<std::byte> into, Deadline deadline) {
  for (size_t done = 0; done < into.size();) {
    const size_t moved = read_part(into.subspan(done), deadline);
    if (moved == 0 && is_tls_alert(into.first(done)))
      throw_errno("reading from the peer, which speaks TLS while this end does not (--tls)",
                  EPROTO);
    if (moved == 0) throw_errno("reading from the peer, which ended the stream", ECONNRESET);
    done += moved;
  }
}

void Stream::write_all(std::span<const std::byte> from, Deadline deadline) {
  while (!from.empty()) {
    const iovec rest{const_cast<std::byte*>(from.data()), from.size()};
    const auto moved = write_some({&rest, 1});
    if (!moved) {
      wait_for(descriptor(), events_for(POLLOUT), deadline, "writing to the peer");
    } else {
      from = from.subspan(*moved);
    }
  }
}

}  // namespace memsync
