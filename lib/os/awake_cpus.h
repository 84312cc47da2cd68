// CPUs that do not sleep: waking one up takes 30 to 100 us on many machines, and longest in guests,
// which would come on top of every wake-up that is measured.
#pragma once

#include <string>

#include "lib/os/file_descriptor.h"

namespace memsync {

// While one of these lives, no CPU of this machine enters a sleep state that takes time to leave
// (a latency of 0 asked for by /dev/cpu_dma_latency; kernel: Documentation/power/
// pm_qos_interface.rst). An idle CPU uses more energy then, and no time of anybody's. Without the
// device or the privilege nothing changes, and problem() says why. Threads: one caller.
// Measured on two CPUs of a guest: an idle link of RTT 0 answers after 0.03-0.05 ms instead of
// 0.06-0.15 ms (n = 10 each).
class AwakeCpus {
 public:
  AwakeCpus() noexcept;
  const std::string& problem() const noexcept { return problem_; }  // "" when they stay awake

 private:
  FileDescriptor request_;  // the kernel forgets it when this is closed
  std::string problem_;
};

}  // namespace memsync
