// How much of a transfer is done, how fast it goes and how long it takes yet.
#pragma once

#include <cstdint>
#include <unistd.h>

#include "lib/os/clock.h"

namespace memsync {

// One line that is drawn again on a terminal, a plain line every five seconds elsewhere; on stderr,
// nothing in the first second. Threads: one.
class Meter {
 public:
  explicit Meter(uint64_t total_bytes) : total_(total_bytes) {}
  ~Meter();
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  void show(uint64_t done_bytes);
  uint64_t total_bytes() const noexcept { return total_; }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  const uint64_t total_;
  const Deadline start_ = Clock::now();
  Deadline next_ = start_ + std::chrono::seconds(1);
  bool drawn_ = false;
};

}  // namespace memsync
