// The ring against a plain queue, with sizes that make it wrap everywhere.
#include "netem/packet_ring.h"

#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <vector>

#include "netem/packet.h"

namespace memsync {
namespace {

TEST(PacketRing, GivesBackWhatWasPutInInOrderWhateverTheSizes) {
  const unsigned seed = 11;
  std::mt19937 random(seed);
  PacketRing ring(5 * kMaxFrameBytes + 123);
  std::deque<std::vector<std::byte>> expected;
  uint64_t pushed = 0;
  uint64_t full = 0;
  for (int step = 0; step < 20'000; ++step) {
    ring.warm_up();
    const auto room = ring.room();
    if (room.empty()) ++full;
    if (!room.empty() && random() % 5 < 3) {
      ASSERT_GE(room.size(), kMaxFrameBytes);
      std::vector<std::byte> frame(1 + random() % (random() % 2 ? kMaxFrameBytes : 1500));
      for (size_t i = 0; i < frame.size(); i += 97) frame[i] = std::byte(random());
      frame.front() = frame.back() = std::byte(random());
      std::copy(frame.begin(), frame.end(), room.begin());
      ring.push(frame.size(), Nanoseconds(++pushed));
      expected.push_back(std::move(frame));
    } else if (!expected.empty()) {
      const auto& front = ring.front();
      ASSERT_TRUE(std::equal(front.frame.begin(), front.frame.end(), expected.front().begin(),
                             expected.front().end()))
          << "seed " << seed << " step " << step;
      ASSERT_EQ(front.delivery, Nanoseconds(pushed - expected.size() + 1));
      ring.pop();
      expected.pop_front();
    }
    ASSERT_EQ(ring.empty(), expected.empty());
  }
  EXPECT_GT(full, 100u);  // it has been full, so it has wrapped
}

TEST(PacketRing, IsWarmAfterAsManyStepsAsItHasPagesBySixteen) {
  PacketRing ring(1 << 20);
  int steps = 1;
  while (ring.warm_up()) ASSERT_LT(++steps, 100);
  EXPECT_EQ(steps, (1 << 20) / (16 * 4096));
}

}  // namespace
}  // namespace memsync
