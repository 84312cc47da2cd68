// How many background bytes may be in flight: one bandwidth-delay product, found by delay.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "lib/os/clock.h"

namespace memsync::native {

// Works in rounds: a round ends when a request that was sent in it is answered. What counts is the
// least delay in a round, because a late thread makes single answers later and never earlier.
// Starting, the window doubles each round, less as the answers of a round fill the round trip;
// once a queue stands, the window is set so that it stays near kTargetDelay (as FAST TCP does;
// Wei, Jin, Low, Hegde, ToN 2006). Now and then one round runs below the product, so that the
// empty path's delay is seen again.
//
// Threads: one at a time.
class WindowController {
 public:
  static constexpr Nanoseconds kTargetDelay = std::chrono::microseconds(500);
  static constexpr uint64_t kWindowMin = 64U << 10;
  static constexpr uint64_t kWindowStart = 256U << 10;
  static constexpr uint64_t kWindowMax = 256ULL << 20;

  uint64_t window_bytes() const noexcept { return window_; }
  uint64_t in_flight_bytes() const noexcept { return in_flight_; }
  // Whether another request may go: never more than one request above the window.
  bool may_send() const noexcept { return in_flight_ < window_; }

  void sent(uint64_t bytes) noexcept { in_flight_ += bytes; }
  // There was more to send than the window allowed.
  void was_full() noexcept { limited_ = true; }
  // An answer to a request of `bytes` bytes that was sent at `sent_at`.
  void answered(uint64_t bytes, Deadline sent_at, Deadline now) noexcept;
  // A request that will not be waited for any longer.
  void forgotten(uint64_t bytes) noexcept { in_flight_ -= bytes < in_flight_ ? bytes : in_flight_; }

 private:
  enum class Phase : uint8_t { starting, steady };
  static constexpr size_t kClasses = 24;  // requests of alike size share a least delay

  void end_round(Deadline now) noexcept;
  void leave_start() noexcept;
  void set_window(double bytes) noexcept;

  Phase phase_ = Phase::starting;
  uint64_t window_ = kWindowStart;
  uint64_t in_flight_ = 0;
  bool limited_ = false;
  double growth_ = 1.0;  // window bytes gained per answered byte, while starting

  std::array<Nanoseconds, kClasses> base_;  // the least delay seen, by size class
  Deadline base_seen_{};                    // when a delay near the least one was last seen
  bool dipping_ = false;
  uint64_t window_before_dip_ = 0;

  Deadline round_start_{};
  Deadline first_answer_{};
  uint64_t round_window_ = kWindowStart;
  Nanoseconds least_queueing_ = Nanoseconds::max();
  Nanoseconds least_delay_ = Nanoseconds::max();
  uint32_t round_answers_ = 0;
  uint32_t rounds_above_ = 0;
  uint32_t rounds_below_ = 0;
  bool begun_ = false;
};

}  // namespace memsync::native
