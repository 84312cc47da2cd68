// The line's arithmetic, with time that is made up.
#include "netem/line.h"

#include <gtest/gtest.h>
#include <vector>

namespace memsync {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr WireSize kMtu{1, 1500};

TEST(Line, DelaysAPacketByTheDelayAndItsOwnTimeOnTheWire) {
  Line line({.bits_per_second = 1'000'000'000, .delay = milliseconds(5), .queue_bytes = 1 << 20});
  EXPECT_EQ(line.admit(milliseconds(1), kMtu), milliseconds(6) + microseconds(12));
}

TEST(Line, KeepsTheRateExactlyOverAMillionPackets) {
  // 1500 bytes at 7 Gbit/s take 1714.2857 ns: a rounding of each would show.
  Line line({.bits_per_second = 7'000'000'000, .queue_bytes = uint64_t{1} << 40});
  Nanoseconds last{};
  for (int i = 0; i < 1'000'000; ++i) last = *line.admit(Nanoseconds(0), kMtu);
  EXPECT_EQ(last.count(), 1'000'000ll * 12'000 / 7);
}

TEST(Line, DropsWhatFindsTheQueueFullAndTakesPacketsAgainWhenItHasDrained) {
  Line line({.bits_per_second = 12'000'000, .queue_bytes = 4500});  // 1 ms per packet
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(line.admit(Nanoseconds(0), kMtu)) << i;
  EXPECT_FALSE(line.admit(Nanoseconds(0), kMtu));
  EXPECT_EQ(line.overflowed_packets(), 1u);
  EXPECT_EQ(line.waiting_bytes(milliseconds(1)), 3000u);
  EXPECT_EQ(line.admit(milliseconds(1), kMtu), milliseconds(4));
}

TEST(Line, CountsOnlyWhatWaitsForSerialisationNotWhatIsBeingDelayed) {
  Line line({.bits_per_second = 12'000'000, .delay = milliseconds(100), .queue_bytes = 1500});
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(line.admit(milliseconds(i), kMtu)) << i;
  EXPECT_EQ(line.overflowed_packets(), 0u);
}

TEST(Line, TakesAPacketLargerThanTheQueueWhenItIsIdle) {
  Line line({.bits_per_second = 12'000'000, .queue_bytes = 100});
  EXPECT_TRUE(line.admit(Nanoseconds(0), kMtu));
  EXPECT_FALSE(line.admit(Nanoseconds(0), kMtu));
}

TEST(Line, DeliversASuperpacketWhenItsLastSegmentIsThrough) {
  Line line({.bits_per_second = 12'000'000, .queue_bytes = 1 << 20});
  EXPECT_EQ(line.admit(Nanoseconds(0), {.segments = 10, .bytes = 15000}), milliseconds(10));
}

TEST(Line, WithoutARateHoldsNothingBack) {
  Line line({.bits_per_second = 0, .delay = milliseconds(1)});
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(line.admit(Nanoseconds(i), kMtu), milliseconds(1) + Nanoseconds(i));
}

TEST(Line, WithJitterSpreadsUniformlyAndNeverReorders) {
  Line line(
      {.bits_per_second = 0, .delay = milliseconds(10), .jitter = milliseconds(4), .seed = 3});
  Nanoseconds last{};
  double sum_ms = 0;
  constexpr int kPackets = 2000;
  for (int i = 0; i < kPackets; ++i) {
    const Nanoseconds now = milliseconds(10 * i);  // far apart: each delay is drawn by itself
    const Nanoseconds delivery = *line.admit(now, kMtu);
    EXPECT_GE(delivery, now + milliseconds(10));
    EXPECT_LE(delivery, now + milliseconds(14));
    sum_ms += seconds(delivery - now) * 1000;
  }
  EXPECT_NEAR(sum_ms / kPackets, 12, 0.1);  // 4 standard deviations of the mean
  for (int i = 0; i < kPackets; ++i) {
    const Nanoseconds delivery = *line.admit(std::chrono::seconds(100) + microseconds(i), kMtu);
    EXPECT_GE(delivery, last);
    last = delivery;
  }
}

TEST(Line, LosesTheShareThatIsAskedForAndTheSameOnesForTheSameSeed) {
  const LineShape shape{.loss_ratio = 0.01, .seed = 7};
  Line one(shape);
  Line two(shape);
  for (int i = 0; i < 100'000; ++i)
    EXPECT_EQ(one.admit(Nanoseconds(i), kMtu).has_value(),
              two.admit(Nanoseconds(i), kMtu).has_value());
  EXPECT_NEAR(static_cast<double>(one.lost_packets()), 1000, 4 * 31.5);
}

}  // namespace
}  // namespace memsync
