#include "harness/quiet_gate.h"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include "harness/noise.h"
#include "lib/os/file_descriptor.h"

namespace memsync {

namespace {

constexpr int kLooks = 10;
constexpr Nanoseconds kBetweenLooks = std::chrono::milliseconds(2);

// Tasks that run or could run now, this one included: "0.20 0.18 0.12 1/80 11206" (proc(5)).
long runnable_tasks(const FileDescriptor& loadavg) {
  char text[128] = {};
  if (::pread(loadavg.get(), text, sizeof text - 1, 0) <= 0) return 1;
  char* at = text;
  for (int field = 0; field < 3; ++field) std::strtod(at, &at);
  return std::strtol(at, nullptr, 10);
}

}  // namespace

double others_wanting_cpus() {
  const FileDescriptor loadavg{::open("/proc/loadavg", O_RDONLY | O_CLOEXEC)};
  if (!loadavg.is_open()) return 0;
  const long cpus = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  long wanted = 0;
  Deadline next = Clock::now();
  for (int look = 0; look < kLooks; ++look) {
    wanted += std::clamp(runnable_tasks(loadavg) - 1, 0L, cpus);
    next += kBetweenLooks;
    sleep_until_deadline(next);
  }
  return static_cast<double>(wanted) / static_cast<double>(kLooks * cpus);
}

bool QuietGate::wait(const std::function<void(double others)>& on_pause) {
  Nanoseconds left = std::min(patience_.repetition, left_);
  while (true) {
    const double others = others_();
    if (others <= kOthersMax) return true;
    if (left < patience_.pause) return false;
    on_pause(others);
    sleep_until_deadline(after(patience_.pause));
    left -= patience_.pause;
    left_ -= patience_.pause;
  }
}

}  // namespace memsync
