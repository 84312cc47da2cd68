#include "lib/os/clock.h"

#include <cerrno>
#include <cstdio>
#include <ctime>

namespace memsync {

void sleep_until_deadline(Deadline deadline) noexcept {
  const auto since = std::chrono::duration_cast<Nanoseconds>(deadline.time_since_epoch()).count();
  const timespec until{since / 1'000'000'000, since % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

namespace {

tm utc(const timespec& now) {
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  return parts;
}

}  // namespace

std::string utc_now_compact() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const tm parts = utc(now);
  char text[32];
  const size_t size = std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return {text, size};
}

std::string utc_now_iso() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const tm parts = utc(now);
  char text[32];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(now.tv_nsec / 1'000'000));
  return std::string(text, size) + fraction;
}

}  // namespace memsync
