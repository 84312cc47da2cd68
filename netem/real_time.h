// Precedence over ordinary work, for what stands for hardware: the link does not get slower
// because the hosts on this machine are busy.
#pragma once

#include "lib/os/clock.h"

namespace memsync {

enum class Precedence : uint8_t { probe, emulator };  // the emulator goes first

// Gives the calling thread the real-time policy SCHED_FIFO for the rest of its life; where that
// would do harm (before Linux 6.5 packets wait for ksoftirqd, an ordinary thread, once it has been
// woken; on a single CPU everybody waits), the highest ordinary priority. Without the privilege
// (CAP_SYS_NICE) nothing changes: the calibration tells the effect.
// Measured at a load of 10 on two CPUs, 1 Gbit/s: SCHED_FIFO within 0.2 %, nice -20 15 to 50 % low.
void take_precedence(Precedence precedence) noexcept;

// Who spins in real time rests now and then, so that a kernel thread of its CPU can have it.
class Naps {
 public:
  // Call often. Sleeps for about 50 us when the last rest is more than 3 ms ago.
  void nap_when_due(Clock::time_point now) noexcept {
    if (now - rested_ < kAwake) return;
    sleep_until_deadline(now + std::chrono::microseconds(20));
    rested_ = Clock::now();
  }
  void rested(Clock::time_point now) noexcept { rested_ = now; }

 private:
  static constexpr auto kAwake = std::chrono::milliseconds(3);
  Clock::time_point rested_ = Clock::now();
};

}  // namespace memsync
