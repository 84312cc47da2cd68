#include "harness/meter.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>

#include "lib/region/quantity.h"

namespace memsync {

Meter::~Meter() {
  if (drawn_ && terminal_) std::fputs("\r\033[K", stderr);
}

void Meter::show(uint64_t done_bytes) {
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + (terminal_ ? Nanoseconds(std::chrono::milliseconds(250))
                           : Nanoseconds(std::chrono::seconds(5)));
  const double rate = static_cast<double>(done_bytes) / std::max(seconds(now - start_), 1e-9);
  const double left = rate > 0 ? static_cast<double>(total_ - done_bytes) / rate : 0;
  fmt::print(stderr, "{}{} of {}, {}/s{}{}", terminal_ ? "\r\033[K" : "",
             format_bytes(static_cast<double>(done_bytes)),
             format_bytes(static_cast<double>(total_)), format_bytes(rate),
             rate > 0 ? fmt::format(", about {:.0f} s left", left) : "", terminal_ ? "" : "\n");
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace memsync
