// One pushes, many receive: what comes to whom, when somebody comes late, goes, or comes back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "approaches/mmap_push/hub/hub_pair.h"

namespace memsync::mmap_push {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSize = 20 * 4096 + 100;

// Many of them, and all have the file.
std::list<HubReceiver> receivers_of(RunningHub& hub, size_t count, const std::string& name) {
  std::list<HubReceiver> receivers;
  for (size_t i = 0; i < count; ++i) receivers.emplace_back(hub.network()).connect();
  for (HubReceiver& receiver : receivers)
    EXPECT_TRUE(receiver.happened.wait_for(name)) << receiver.disconnect() << hub.told();
  return receivers;
}

TEST(Hub, ForwardsAChangeToEveryReceiver) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "a/data", seeded(kSize, 1));
  pusher.sync();
  auto receivers = receivers_of(hub, 3, "a/data");
  for (HubReceiver& receiver : receivers) ASSERT_EQ(receiver.contents("a/data"), seeded(kSize, 1));
  pusher.source.write(5 * 4096, {std::byte{1}, std::byte{2}});
  EXPECT_EQ(pusher.sync().payload_bytes, 4096U);
  ASSERT_TRUE(hub.happened.wait_for("delivered a/data 2", 3));
  for (HubReceiver& receiver : receivers) {
    EXPECT_EQ(receiver.contents("a/data"), pusher.source.bytes);
    EXPECT_EQ(receiver.disconnect(), "");
    EXPECT_EQ(receiver.payload_bytes, kSize + 4096);
  }
}

TEST(Hub, CostsTheSourceTheSameForOneReceiverAndForEight) {
  const auto bytes_for = [](size_t count) {
    RunningHub hub;
    HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
    pusher.sync();
    const auto receivers = receivers_of(hub, count, "data");
    pusher.source.write(4096, Bytes(4096, std::byte{9}));
    pusher.sync();
    EXPECT_TRUE(hub.happened.wait_for("delivered data 2", static_cast<unsigned>(count)));
    return pusher.bytes_sent();
  };
  EXPECT_EQ(bytes_for(1), bytes_for(8));
}

TEST(Hub, OffersPresentFilesAndThoseThatComeLater) {
  RunningHub hub;
  HubPusher first(hub.network(), "first", seeded(kSize, 1));
  first.sync();
  HubReceiver receiver(hub.network());
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("first"));
  HubPusher second(hub.network(), "second", seeded(100, 2));
  HubPusher empty(hub.network(), "empty", {});
  second.sync();
  empty.sync();
  ASSERT_TRUE(receiver.happened.wait_for("second"));
  ASSERT_TRUE(receiver.happened.wait_for("empty"));
  EXPECT_EQ(receiver.contents("second"), seeded(100, 2));
  EXPECT_TRUE(std::filesystem::exists(receiver.path("empty")));
}

TEST(Hub, GivesAReceiverThatComesBackWhatItLacks) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
  pusher.sync();
  HubReceiver receiver(hub.network());
  receiver.connect();
  ASSERT_TRUE(hub.happened.wait_for("delivered data"));
  unsigned delivered = 1;
  for (const bool is_new_process : {false, true}) {
    receiver.disconnect();
    if (is_new_process) receiver.restart();
    pusher.source.write(3 * 4096, seeded(2 * 4096, is_new_process ? 5 : 6));
    pusher.sync();
    receiver.connect();
    ASSERT_TRUE(hub.happened.wait_for("delivered data", ++delivered));
    EXPECT_EQ(receiver.contents("data"), pusher.source.bytes);
    EXPECT_EQ(receiver.disconnect(), "");
    EXPECT_EQ(receiver.payload_bytes, 2 * 4096U);
  }
}

TEST(Hub, FollowsEveryLength) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
  pusher.sync();
  auto receivers = receivers_of(hub, 2, "data");
  unsigned version = 1;
  for (const size_t size :
       {kSize + 5000, uint64_t{8192}, uint64_t{8193}, uint64_t{0}, uint64_t{4096}, kSize}) {
    pusher.source.bytes.resize(size, static_cast<std::byte>(size % 251));
    pusher.sync();
    ++version;
    ASSERT_TRUE(hub.happened.wait_for("delivered data " + std::to_string(version), 2)) << size;
    for (HubReceiver& receiver : receivers)
      EXPECT_EQ(receiver.contents("data"), pusher.source.bytes);
  }
}

TEST(Hub, SaysWhoHasWhat) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
  pusher.sync();
  const auto receivers = receivers_of(hub, 2, "data");
  ASSERT_TRUE(hub.happened.wait_for("delivered data", 2));
  const auto status = nlohmann::json::parse(hub.hub().status());
  ASSERT_EQ(status.at("files").size(), 1U);
  const auto& file = status.at("files")[0];
  EXPECT_EQ(file.at("name"), "data");
  EXPECT_EQ(file.at("size_B"), kSize);
  EXPECT_EQ(file.at("is_pushed"), true);
  ASSERT_EQ(file.at("receivers").size(), 2U);
  for (const auto& one : file.at("receivers")) {
    EXPECT_EQ(one.at("version"), 1);
    EXPECT_EQ(one.at("missing_B"), 0);
  }
  EXPECT_EQ(status.at("peers").size(), 3U);
}

TEST(Hub, KeepsWhatItHasAcknowledgedWhenItStartsAnew) {
  RunningHub hub;
  {
    HubPusher pusher(hub.network(), "deep/er/data", seeded(kSize, 1));
    pusher.sync();
  }
  HubReceiver receiver(hub.network());
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("settled"));
  const unsigned settled = receiver.happened.times("settled");
  hub.stop();
  ASSERT_TRUE(receiver.happened.wait_for("ended"));
  receiver.disconnect();
  put_file(hub.path(".memsync-spare.half"), seeded(5000, 4));  // of a file that never was whole
  hub.start();
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("settled", settled + 1));
  receiver.disconnect();
  EXPECT_EQ(receiver.payload_bytes, 0U);
  HubPusher again(hub.network(), "deep/er/data", seeded(kSize, 1));
  EXPECT_EQ(again.sync().payload_bytes, 0U);
  HubReceiver late(hub.network());
  late.connect();
  ASSERT_TRUE(late.happened.wait_for("deep/er/data"));
  EXPECT_EQ(late.contents("deep/er/data"), seeded(kSize, 1));
  EXPECT_FALSE(std::filesystem::exists(late.path("half")));
}

TEST(Hub, LeavesHalfARoundBehindWhenItStartsAnew) {
  RunningHub hub;
  {
    HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
    pusher.sync();
  }
  hub.stop();
  put_file(hub.path(".memsync-spare.data"), seeded(kSize, 2));  // what a pusher's round left
  hub.start();
  HubReceiver receiver(hub.network());
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("data"));
  EXPECT_EQ(receiver.contents("data"), seeded(kSize, 1));
}

TEST(Hub, LetsAPusherComeBackWithOtherBlocks) {
  RunningHub hub;
  {
    HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
    pusher.sync();
  }
  ASSERT_TRUE(hub.happened.wait_for("ended peer 1"));
  HubReceiver receiver(hub.network());
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("data"));
  HubPusher pusher(hub.network(), "data", seeded(kSize, 2), {.block_bytes = 8192});
  pusher.sync();
  ASSERT_TRUE(receiver.happened.wait_for("ended"));
  EXPECT_EQ(receiver.disconnect(), "");
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("data", 2));
  EXPECT_EQ(receiver.contents("data"), seeded(kSize, 2));
}

TEST(Hub, GivesNobodyWhatADiskHasChangedAndVerifyingMendsIt) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
  pusher.sync();
  {
    const auto file = FileDescriptor::open(hub.path("data"), O_WRONLY);
    ASSERT_EQ(::pwrite(file.get(), "?", 1, 5000), 1);
  }
  HubReceiver receiver(hub.network());
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("ended"));
  EXPECT_THAT(receiver.disconnect(), HasSubstr("are not those that were sent"));
  EXPECT_FALSE(std::filesystem::exists(receiver.path("data")));
  EXPECT_EQ(pusher.verify().chunks_moved, 1U);
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("data"));
  EXPECT_EQ(receiver.contents("data"), seeded(kSize, 1));
}

TEST(Hub, RefusesASecondPusherOfAName) {
  RunningHub hub;
  HubPusher first(hub.network(), "data", seeded(kSize, 1));
  const Ending ending =
      ending_of([&] { HubPusher(hub.network(), "data", seeded(kSize, 2)).sync(); });
  EXPECT_EQ(ending.code, of_errno(EBUSY));
  EXPECT_THAT(ending.text, HasSubstr("'data' is being pushed by somebody else here"));
  first.sync();
}

TEST(Hub, AsksThePolicyWhoMayPublishAndRead) {
  RunningHub hub(
      {}, {.why_not_publish =
               [](const Peer&, const std::string& name) {
                 return name == "forbidden" ? "nobody publishes this" : "";
               },
           .may_read = [](const Peer&, const std::string& name) { return name != "secret"; }});
  const Ending ending =
      ending_of([&] { HubPusher(hub.network(), "forbidden", seeded(kSize, 2)).sync(); });
  EXPECT_EQ(ending.code, of_errno(EACCES));
  EXPECT_THAT(ending.text, HasSubstr("nobody publishes this"));
  HubPusher secret(hub.network(), "secret", seeded(kSize, 1));
  HubPusher open(hub.network(), "open", seeded(kSize, 1));
  secret.sync();
  open.sync();
  HubReceiver receiver(hub.network());
  receiver.connect();
  ASSERT_TRUE(receiver.happened.wait_for("settled"));
  EXPECT_FALSE(std::filesystem::exists(receiver.path("secret")));
}

TEST(Hub, TurnsAwayOneReceiverTooMany) {
  HubSettings settings;
  settings.peers_max = 2;
  RunningHub hub(settings);
  HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
  pusher.sync();
  HubReceiver served(hub.network()), late(hub.network());
  served.connect();
  ASSERT_TRUE(served.happened.wait_for("data"));
  late.connect();
  ASSERT_TRUE(late.happened.wait_for("ended"));
  EXPECT_THAT(late.disconnect(), HasSubstr("2 peers are here already"));
  const Ending ending = ending_of([&] { HubPusher(hub.network(), "other", {}).sync(); });
  EXPECT_EQ(ending.code, of_errno(EBUSY));
}

TEST(Hub, ServesTwoHundredReceiversAtOnce) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
  pusher.sync();
  auto receivers = receivers_of(hub, 200, "data");
  pusher.source.write(0, Bytes(1, std::byte{1}));
  pusher.sync();
  ASSERT_TRUE(hub.happened.wait_for("delivered data 2", 200));
  for (HubReceiver& receiver : receivers) ASSERT_EQ(receiver.contents("data"), pusher.source.bytes);
}

TEST(Hub, OfFixedTopologyGivesAllOfItToWhoeverJoinsAndChangesAfterwards) {
  HubSettings settings;
  settings.forwarder.topology = Topology::fixed;
  RunningHub hub(settings);
  HubPusher pusher(hub.network(), "data", seeded(kSize, 1));
  pusher.sync();
  HubReceiver receiver(hub.network());
  for (unsigned time = 0; time < 2; ++time) {
    receiver.connect();
    ASSERT_TRUE(hub.happened.wait_for("delivered data", 2 * time + 1));
    pusher.source.write(4096, seeded(4096, time + 2));
    pusher.sync();
    ASSERT_TRUE(hub.happened.wait_for("delivered data", 2 * time + 2));
    EXPECT_EQ(receiver.contents("data"), pusher.source.bytes);
    EXPECT_EQ(receiver.disconnect(), "");
    EXPECT_EQ(receiver.payload_bytes, kSize + 4096);
  }
}

}  // namespace
}  // namespace memsync::mmap_push
