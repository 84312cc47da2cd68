// Pushes inside TLS: the same bytes, and nothing that waits in a record is overlooked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>

#include "approaches/mmap_push/push_pair.h"
#include "approaches/mmap_push/sides_pair.h"
#include "lib/transport/tls/tls_test_support.h"

namespace memsync::mmap_push {
namespace {

std::unique_ptr<Network> inside_tls(std::unique_ptr<Network> plain) {
  return make_tls_network(std::move(plain), test::test_credentials());
}

TEST(PushingInsideTls, BringsEverythingFirstAndAfterwardsOnlyWhatChanged) {
  PushPair pair(Publish::versions, {}, inside_tls);
  TestSource source(seeded((9 << 20) + 77, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_EQ(pair.sync().chunks_moved, 2305u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  source.write(5 * 4096 + 17, {std::byte{1}, std::byte{2}});
  source.write(200 * 4096, seeded(8192, 2));
  const SyncReport report = pair.sync();
  EXPECT_EQ(report.chunks_moved, 3u);
  EXPECT_EQ(report.payload_bytes, 3u * 4096);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  EXPECT_TRUE(pair.dialled().peer_identity());
  EXPECT_EQ(pair.disconnect(), "") << "an end that was said is an end";
}

TEST(PushingInsideTls, GoesOnWithAnotherConnection) {
  PushPair pair(Publish::versions, {}, inside_tls);
  TestSource source(seeded(1 << 20, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  source.write(0, seeded(4096, 3));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_EQ(pair.sync().chunks_moved, 1u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

// A message that came in one record with another one: the descriptor is silent, it is there.
TEST(FrameStreamInsideTls, SeesAMessageThatTheDescriptorDoesNotShow) {
  const test::TlsPair pair;
  FrameStream ours(*pair.dialled, Role::receiver), theirs(*pair.accepted, Role::source);
  {
    std::jthread other([&] { theirs.greet(test::soon()); });
    ours.greet(test::soon());
  }
  // A large payload is read past the buffer, to its last byte and no further.
  const std::vector<std::byte> large(1 << 20, std::byte{7});
  std::jthread sender([&] {
    ours.send(Kind::table, 0, large);
    ours.send(Kind::take_over, 0, {});
    ours.flush(test::soon());
  });
  ASSERT_EQ(theirs.next(test::soon()).payload_bytes, large.size());
  std::vector<std::byte> got(large.size());
  theirs.read(got, test::soon());
  sender.join();
  while (!theirs.is_readable()) {
    pollfd wanted{pair.accepted->descriptor(), POLLIN, 0};
    ASSERT_EQ(::poll(&wanted, 1, 20'000), 1);
  }
  EXPECT_EQ(theirs.next(test::soon()).kind, Kind::take_over);
  EXPECT_FALSE(theirs.is_readable());
}

class SidesInsideTls : public Sides {
 protected:
  SidesInsideTls() {
    source_network_ = inside_tls(std::move(source_network_));
    destination_network_ = inside_tls(std::move(destination_network_));
  }
};

TEST_F(SidesInsideTls, AreEqualAfterEachRound) {
  open((4 << 20) + 99);
  expect_equal();
  for (int round = 0; round < 20; ++round) {
    source->region().memory[static_cast<size_t>(round) * 70'001] ^= std::byte{1};
    ASSERT_TRUE(source->sync(after(kPatience)));
    expect_equal();
  }
}

TEST_F(SidesInsideTls, HandTheRegionOverWhileTheSourceWaits) {
  open(4 << 20);
  source->region().memory[12'345] = std::byte{42};
  Handover* const handover = destination->handover();
  ASSERT_NE(handover, nullptr);
  handover->finalize(after(kPatience));
  EXPECT_EQ(destination->region().memory[12'345], std::byte{42});
  handover->settle(after(kPatience));
  EXPECT_EQ(failure_of(*source), "");
}

}  // namespace
}  // namespace memsync::mmap_push
