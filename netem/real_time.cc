#include "netem/real_time.h"

#include <cstdio>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <thread>

namespace memsync {

namespace {

// Source: kernel commit d15121be7485, "Revert 'softirq: Let ksoftirqd do its job'" (Linux 6.5).
bool packets_may_wait_for_ksoftirqd() noexcept {
  utsname system{};
  unsigned major = 0;
  unsigned minor = 0;
  if (::uname(&system) != 0 || std::sscanf(system.release, "%u.%u", &major, &minor) != 2)
    return true;
  return major < 6 || (major == 6 && minor < 5);
}

}  // namespace

void take_precedence(Precedence precedence) noexcept {
  const bool emulator = precedence == Precedence::emulator;
  if (std::thread::hardware_concurrency() > 1 && !packets_may_wait_for_ksoftirqd()) {
    sched_param parameters{};
    parameters.sched_priority = emulator ? 2 : 1;
    if (::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) == 0) return;
  }
  // 0: this thread, on Linux; a refusal leaves things as they are.
  [[maybe_unused]] const int refused = ::setpriority(PRIO_PROCESS, 0, emulator ? -20 : -19);
}

}  // namespace memsync
