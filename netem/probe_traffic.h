// Datagrams of known size and number, sent over a link to see what becomes of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/os/clock.h"
#include "lib/os/file_descriptor.h"
#include "netem/link.h"

namespace memsync {

enum class Way : uint8_t { forth, back };  // source -> destination, destination -> source

struct LossCount {
  uint64_t sent = 0;
  uint64_t received = 0;
};

// A UDP socket on each host, both served by one spinning thread: the hosts' own wake-ups (20 us
// and more each) are no part of the link, and on two CPUs a second spinning thread would take the
// emulator's. Threads: one caller.
class ProbeTraffic {
 public:
  explicit ProbeTraffic(const Link& link);

  // `count` echoed datagrams, one every few milliseconds; the round trips of those that came back.
  std::vector<Nanoseconds> round_trips(unsigned count);
  // Sends 1.08 times `bits_per_second` for `duration`. Returns the bits per second that arrived, as
  // IP packets, by the receiving kernel's time stamps; 0 when nothing did.
  double overload(Way way, Nanoseconds duration, uint64_t bits_per_second);
  // Sends MTU-sized packets below the rate from the source and counts those that arrive.
  LossCount count_losses(Nanoseconds duration);
  // What a TCP socket of the source uses towards the destination.
  std::string congestion_control() const;

 private:
  struct Arrivals;  // counted at one end
  struct Offered;   // sent at the other
  // Sends `bits_per_second` in units of `segments` packets for `duration` and waits for the last.
  Offered send_and_count(Way way, Nanoseconds duration, double bits_per_second, unsigned segments,
                         Arrivals& arrivals);
  Nanoseconds longest_quiet(double bits_per_second) const;

  const Link& link_;
  FileDescriptor source_;
  FileDescriptor destination_;
};

}  // namespace memsync
