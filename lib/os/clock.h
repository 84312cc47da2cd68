// Time: one monotonic clock for measuring, UTC only for names and time stamps.
#pragma once

#include <chrono>
#include <string>

namespace memsync {

using Nanoseconds = std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC, shared by all namespaces of a host
using Deadline = Clock::time_point;

inline double seconds(Nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}
inline Nanoseconds from_seconds(double duration) {
  return std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(duration));
}
inline Deadline after(Nanoseconds duration) {
  return Clock::now() + duration;
}

// Sleeps until `deadline` as exactly as the kernel can (clock_nanosleep, absolute).
void sleep_until_deadline(Deadline deadline) noexcept;

std::string utc_now_compact();  // 20261121T140312Z, for directory names
std::string utc_now_iso();      // 2026-11-21T14:03:12.345Z, for rows

}  // namespace memsync
