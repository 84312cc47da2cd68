#include "netem/line.h"

#include <algorithm>

namespace memsync {

namespace {
constexpr uint64_t kBitNanoseconds = 8'000'000'000;  // of one byte at 1 bit/s
}

Line::Line(const LineShape& shape) : shape_(shape), random_(shape.seed) {}

uint64_t Line::waiting_bytes(Nanoseconds now) const noexcept {
  if (shape_.bits_per_second == 0 || idle_at_ <= now) return 0;
  const auto left = static_cast<double>((idle_at_ - now).count());
  return static_cast<uint64_t>(left * static_cast<double>(shape_.bits_per_second) /
                               kBitNanoseconds);
}

Nanoseconds Line::serialise(Nanoseconds now, uint64_t bytes) {
  if (shape_.bits_per_second == 0) return now;
  if (idle_at_ <= now) {
    idle_at_ = now;
    remainder_ = 0;
  }
  // At most 64 KiB and its headers, so the product stays below 2^50. Nothing is rounded away:
  // at 10 Gbit/s a byte takes 0.8 ns.
  const uint64_t work = bytes * kBitNanoseconds + remainder_;
  idle_at_ += Nanoseconds{static_cast<int64_t>(work / shape_.bits_per_second)};
  remainder_ = work % shape_.bits_per_second;
  return idle_at_;
}

std::optional<Nanoseconds> Line::admit(Nanoseconds now, const WireSize& packet) {
  if (shape_.loss_ratio > 0 &&
      std::uniform_real_distribution<double>(0, 1)(random_) < shape_.loss_ratio) {
    lost_ += packet.segments;
    return std::nullopt;
  }
  const uint64_t waiting = waiting_bytes(now);
  if (waiting > 0 && waiting + packet.bytes > shape_.queue_bytes) {
    overflowed_ += packet.segments;
    return std::nullopt;
  }
  Nanoseconds delivery = serialise(now, packet.bytes) + shape_.delay;
  if (shape_.jitter.count() > 0)
    delivery +=
        Nanoseconds{std::uniform_int_distribution<int64_t>(0, shape_.jitter.count())(random_)};
  last_delivery_ = std::max(last_delivery_, delivery);
  return last_delivery_;
}

}  // namespace memsync
