// Precedence over ordinary work, for what stands for hardware: the link does not get slower
// because the hosts on this machine are busy.
#pragma once

#include <sched.h>

namespace memsync {

// Of those that want the same CPU, the emulator goes before the probes that measure it.
inline constexpr int kEmulatorPriority = 2;
inline constexpr int kProbePriority = 1;

// Gives the calling thread the real-time policy SCHED_FIFO for the rest of its life. Without the
// privilege (CAP_SYS_NICE) nothing changes and false is returned: the calibration tells the effect.
inline bool enter_real_time(int priority) noexcept {
  sched_param parameters{};
  parameters.sched_priority = priority;
  return ::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) == 0;
}

}  // namespace memsync
