// Precedence over ordinary work, for what stands for hardware: the link does not get slower
// because the hosts on this machine are busy.
#pragma once

#include <algorithm>
#include <functional>

#include "lib/os/clock.h"

namespace memsync {

enum class Precedence : uint8_t { probe, emulator };  // the emulator goes first

// Gives the calling thread the real-time policy SCHED_FIFO for the rest of its life; where that
// would do harm (before Linux 6.5 packets wait for ksoftirqd, an ordinary thread, once it has been
// woken; on a single CPU everybody waits), the highest ordinary priority. Without the privilege
// (CAP_SYS_NICE) nothing changes: the calibration tells the effect.
// Measured at a load of 10 on two CPUs, 1 Gbit/s: SCHED_FIFO within 0.2 %, nice -20 15 to 50 % low.
void take_precedence(Precedence precedence) noexcept;

// Runs `work` with precedence in a thread of its own, and waits; rethrows what it throws.
void in_precedence(Precedence precedence, const std::function<void()>& work);

// Real-time threads may have 95 % of a CPU (kernel: sched_rt_runtime_us, since 6.12 the fair
// server); who takes more is stopped for up to 50 ms at once, a second after it began. So a thread
// that spins rests for a little more than that share itself, 0.1 ms at a time.
class Naps {
 public:
  // Tell it often that the thread has been awake; sleeps when a rest is due.
  void nap_when_due(Clock::time_point now) noexcept {
    awake_until(now);
    if (owed_ < kNap) return;
    sleep_until_deadline(now + kNap);
    slept_until(Clock::now());
  }
  // What the thread has done since the last call of one of the three.
  void awake_until(Clock::time_point now) noexcept {
    owed_ += (now - settled_) / kShare;
    settled_ = now;
  }
  void slept_until(Clock::time_point now) noexcept {
    owed_ = std::max(Nanoseconds::zero(), owed_ - (now - settled_));
    settled_ = now;
  }

 private:
  static constexpr Nanoseconds kNap = std::chrono::microseconds(100);
  static constexpr int kShare = 16;
  Nanoseconds owed_{};  // sleep
  Clock::time_point settled_ = Clock::now();
};

}  // namespace memsync
