// When a packet that enters one direction of a link leaves it: rate, queue, loss, delay, jitter.
//
//   arrival -> loss? -> queue full? -> serialisation at the rate -> delay (+ jitter) -> delivery
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include "lib/os/clock.h"
#include "netem/packet.h"

namespace memsync {

struct LineShape {
  uint64_t bits_per_second = 0;  // 0: unlimited
  Nanoseconds delay{};           // one way
  Nanoseconds jitter{};          // added to the delay, uniform in [0, jitter]
  double loss_ratio = 0;
  uint64_t queue_bytes = 0;  // of what waits for serialisation; ignored without a rate
  uint64_t seed = 1;
};

// Arithmetic only: time is given to it, so that a test can play hours in no time.
// Threads: one caller.
class Line {
 public:
  explicit Line(const LineShape& shape);

  // A packet arrives at `now` (never earlier than the call before). Returns when it is delivered,
  // never before the packet ahead of it; nullopt when it is lost or the queue is full.
  // A superpacket is delivered when its last segment has been serialised.
  std::optional<Nanoseconds> admit(Nanoseconds now, const WireSize& packet);

  // Bytes that wait for serialisation or are in it.
  uint64_t waiting_bytes(Nanoseconds now) const noexcept;
  uint64_t lost_packets() const noexcept { return lost_; }
  uint64_t overflowed_packets() const noexcept { return overflowed_; }

 private:
  Nanoseconds serialise(Nanoseconds now, uint64_t bytes);

  const LineShape shape_;
  std::mt19937_64 random_;
  Nanoseconds idle_at_{};   // when the last admitted packet has left the queue
  uint64_t remainder_ = 0;  // of the division that gave idle_at_, in 1/rate nanoseconds
  Nanoseconds last_delivery_{};
  uint64_t lost_ = 0;
  uint64_t overflowed_ = 0;
};

}  // namespace memsync
