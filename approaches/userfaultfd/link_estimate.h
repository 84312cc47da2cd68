// How much must be in flight to keep the link busy, learned from the answers.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/os/clock.h"

namespace memsync::userfaultfd {

// The bandwidth-delay product as BBR sees it (Cardwell et al., ACM Queue 14.5, 2016): the highest
// recent rate of arrival times the lowest round trip. Twice that keeps the link busy and, while the
// window itself is the limit, doubles the window each round trip. Threads: one at a time.
class LinkEstimate {
 public:
  // An answer of `bytes` came `latency` after it was asked for.
  void arrived(uint64_t bytes, Nanoseconds latency, Clock::time_point now) {
    round_trip_ = std::min(round_trip_, latency);
    last_arrival_ = now;
    bytes_ += bytes;
    if (interval_bytes_ == 0) interval_start_ = std::max(interval_start_, now - latency);
    interval_bytes_ += bytes;
    const Nanoseconds elapsed = now - interval_start_;
    if (elapsed < std::max(round_trip_, kShortest)) return;
    rate_ = std::max(static_cast<double>(interval_bytes_) / seconds(elapsed), rate_ * kDecay);
    interval_start_ = now;
    interval_bytes_ = 0;
  }

  // Whether a long answer may need several round trips now: the connection has just begun, or has
  // been idle for so long that TCP starts over (RFC 5681, 4.1), on a link where that is felt.
  bool is_cold(Clock::time_point now) const {
    return round_trip_ > kFelt && (bytes_ < kWarmBytes || now - last_arrival_ > kIdle);
  }

  Nanoseconds round_trip() const { return round_trip_; }
  uint64_t bandwidth_delay_bytes() const {
    if (rate_ == 0) return 0;
    return static_cast<uint64_t>(rate_ * seconds(round_trip_));
  }

 private:
  static constexpr Nanoseconds kShortest = std::chrono::milliseconds(1);
  static constexpr double kDecay = 0.95;  // per interval: a rate that fell is forgotten in about 20

  static constexpr Nanoseconds kFelt = std::chrono::milliseconds(1);
  static constexpr Nanoseconds kIdle =
      std::chrono::milliseconds(150);  // below Linux's least RTO, 200 ms
  static constexpr uint64_t kWarmBytes = 128 << 10;

  Nanoseconds round_trip_ = Nanoseconds::max();
  Clock::time_point last_arrival_{};
  uint64_t bytes_ = 0;
  Clock::time_point interval_start_{};
  uint64_t interval_bytes_ = 0;
  double rate_ = 0;  // bytes per second
};

}  // namespace memsync::userfaultfd
