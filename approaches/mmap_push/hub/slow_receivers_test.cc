// Receivers that are slow, vanish, fail or say what nobody asked: the others and the pusher go on.
#include <array>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>

#include "approaches/mmap_push/hub/hub_pair.h"
#include "approaches/mmap_push/passing_stream.h"

namespace memsync::mmap_push {
namespace {

using testing::HasSubstr;

// More than a socket holds, so that who does not read holds the hub up in the middle of a round.
constexpr uint64_t kBig = 2 << 20;
constexpr size_t kFree = 64 << 10;

// A receiver that reads `free_bytes` and then nothing until it is let go on.
class HeldReceiver {
 public:
  HeldReceiver(Network& network, size_t free_bytes)
      : folder_(TemporaryFolder::make(kMemoryFolder)),
        stream_(network.connect("hub", "hub", after(PushPair::kPatience))),
        held_(*stream_, free_bytes),
        received_(folder_.path(), Publish::versions, Durable::off) {
    serving_ = std::jthread([this] {
      text = ending_of([this] {
               ReceiverEvents events;
               events.published = [this](ReceivedFile& file, const End&, bool) {
                 const MutexLock lock(mutex_);
                 versions_.push_back(file_bytes(path(file.name)));
               };
               Receiver(held_, received_, events, after(PushPair::kPatience), PushPair::kPatience,
                        {.may_be_hub = true})
                   .serve();
             }).text;
    });
  }
  ~HeldReceiver() {
    go_on();
    stream_->shut_down();
  }
  HeldReceiver(const HeldReceiver&) = delete;
  HeldReceiver& operator=(const HeldReceiver&) = delete;

  void wait_until_held() { held_.reached.wait(); }
  void go_on() {
    if (!std::exchange(goes_on_, true)) held_.go.count_down();
  }
  std::vector<Bytes> versions() {
    const MutexLock lock(mutex_);
    return versions_;
  }
  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }

  std::string text;

 private:
  class HeldStream : public PassingStream {
   public:
    HeldStream(Stream& next, size_t free_bytes) : PassingStream(next), left_(free_bytes) {}
    std::optional<size_t> read_some(std::span<const iovec> into) override {
      if (left_ == 0 && !std::exchange(has_waited_, true)) {
        reached.count_down();
        go.wait();
      }
      if (has_waited_) return PassingStream::read_some(into);
      const iovec part{into[0].iov_base, std::min(into[0].iov_len, left_)};
      const auto got = PassingStream::read_some({&part, 1});
      left_ -= got.value_or(0);
      return got;
    }
    std::latch reached{1}, go{1};

   private:
    size_t left_;
    bool has_waited_ = false;
  };

  const TemporaryFolder folder_;
  const std::unique_ptr<Stream> stream_;
  HeldStream held_;
  ReceivedFolder received_;
  bool goes_on_ = false;
  Mutex mutex_;
  std::vector<Bytes> versions_ GUARDED_BY(mutex_);
  std::jthread serving_;
};

TEST(SlowReceiver, GetsTheVersionThatItWasBeingSentAndThenTheLastOne) {
  RunningHub hub;
  const Bytes first = seeded(kBig, 1);
  HubPusher pusher(hub.network(), "data", first);
  pusher.sync();
  HeldReceiver slow(hub.network(), kFree);
  HubReceiver other(hub.network());
  other.connect();
  ASSERT_TRUE(hub.happened.wait_for("delivered data 1"));
  slow.wait_until_held();
  for (unsigned version = 2; version <= 3; ++version) {
    pusher.source.write(kBig - 4096 * version, seeded(4096, version));
    pusher.source.write(0, seeded(4096, version));
    pusher.sync();
    ASSERT_TRUE(hub.happened.wait_for("delivered data " + std::to_string(version)))
        << "the other one waits for the slow one";
    EXPECT_EQ(other.contents("data"), pusher.source.bytes);
  }
  slow.go_on();
  ASSERT_TRUE(hub.happened.wait_for("delivered data 3", 2));
  const auto versions = slow.versions();
  ASSERT_EQ(versions.size(), 2U);
  EXPECT_TRUE(versions[0] == first) << "a mixture of versions";
  EXPECT_TRUE(versions[1] == pusher.source.bytes);
}

TEST(SlowReceiver, OfAVersionThatIsTakenBackGoesOnWithTheLastOne) {
  RunningHub hub;
  Bytes bytes = seeded(kBig, 1);
  HubPusher pusher(hub.network(), "data", bytes);
  pusher.sync();
  std::list<HeldReceiver> slow;
  std::vector<Bytes> contents;
  for (unsigned version = 1; version <= PublishedFile::kOldVersionsMax + 2; ++version) {
    if (version > 1) {
      pusher.source.write(0, seeded(4096, version));
      pusher.source.write(kBig - 4096, seeded(4096, version));
      pusher.sync();
    }
    contents.push_back(pusher.source.bytes);
    slow.emplace_back(hub.network(), kFree).wait_until_held();
  }
  const std::string last = "delivered data " + std::to_string(contents.size());
  unsigned at = 0;
  for (HeldReceiver& one : slow) {
    one.go_on();
    ASSERT_TRUE(hub.happened.wait_for(last, at + 1));
    const auto versions = one.versions();
    ASSERT_FALSE(versions.empty());
    EXPECT_TRUE(versions.back() == contents.back());
    EXPECT_EQ(versions.size(), at == 0 || at + 1 == slow.size() ? 1U : 2U) << at;
    EXPECT_TRUE(versions.front() == contents[at == 0 ? contents.size() - 1 : at]) << at;
    ++at;
  }
}

TEST(SlowReceiver, ThatVanishesIsForgotten) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(kBig, 1));
  pusher.sync();
  {
    HeldReceiver slow(hub.network(), kFree);
    slow.wait_until_held();
  }
  ASSERT_TRUE(hub.happened.wait_for("ended peer 2"));
  pusher.source.write(0, seeded(4096, 2));
  pusher.sync();
  HubReceiver other(hub.network());
  other.connect();
  ASSERT_TRUE(other.happened.wait_for("data"));
  EXPECT_EQ(other.contents("data"), pusher.source.bytes);
}

TEST(FailingReceiver, SaysWhyAndTheOthersGoOn) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(kBig, 1));
  pusher.sync();
  HubReceiver other(hub.network());
  other.connect();
  const TemporaryFolder folder = TemporaryFolder::make(kMemoryFolder);
  ReceivedFolder received(folder.path(), Publish::versions, Durable::off, {.file_bytes = 1 << 20});
  const auto stream = hub.network().connect("hub", "hub", after(PushPair::kPatience));
  const Ending ending = ending_of([&] {
    Receiver(*stream, received, {}, after(PushPair::kPatience), PushPair::kPatience,
             {.may_be_hub = true})
        .serve();
  });
  EXPECT_THAT(ending.text, HasSubstr("this receiver takes"));
  ASSERT_TRUE(hub.happened.wait_for("ended peer 3"));
  EXPECT_THAT(hub.told(), HasSubstr("peer 3: the other side gave up: "));
  ASSERT_TRUE(hub.happened.wait_for("delivered data"));
  EXPECT_EQ(other.contents("data"), pusher.source.bytes);
}

// What a receiver says to the hub, byte by byte, after which it ends its half of the stream.
std::string told_of(RunningHub& hub, const Bytes& said, const std::string& peer) {
  const auto stream = hub.network().connect("hub", "hub", after(PushPair::kPatience));
  stream->write_all(said, after(PushPair::kPatience));
  ::shutdown(stream->descriptor(), SHUT_WR);
  Bytes piece(1 << 16);
  try {
    while (stream->read_part(piece, after(PushPair::kPatience)) > 0) {
    }
  } catch (const std::system_error&) {
    // Reset: the hub had not read all of it.
  }
  EXPECT_TRUE(hub.happened.wait_for("ended " + peer));
  return hub.told();
}

TEST(HostileReceiver, IsToldOfByNameAndEndsAlone) {
  RunningHub hub;
  HubPusher pusher(hub.network(), "data", seeded(3 * 4096, 1));
  pusher.sync();
  const uint64_t seed = 5;  // not the hub's
  const std::array<std::pair<Bytes, const char*>, 9> cases = {{
      {Bytes(32, std::byte{'x'}), "does not speak the push protocol"},
      {bytes_of(Hello{.version = 9, .role = Role::receiver}), "version 9"},
      {bytes_of(Hello{.role = static_cast<Role>(7)}), "unknown role"},
      {bytes_of(Hello{.role = Role::receiver}), "ended the stream"},
      {Script::of(Role::receiver).say(Kind::have, Have{0, {}, seed}).bytes(), "another seed"},
      {Script::of(Role::receiver).say(Kind::have, Have{UINT64_MAX, {}, seed}).bytes(),
       "a file of 18446744073709551615 bytes"},
      {Script::of(Role::receiver).say(Kind::done, Done{}).bytes(), "as an answer"},
      {Script::of(Role::receiver).say(Kind::begin, Begin{}).bytes(), "of kind 3 from the receiver"},
      {Script::of(Role::receiver).say(Kind::failed, Failure{ENOSPC, "full\x1b[2J"}).bytes(),
       "gave up: full?[2J"},
  }};
  unsigned number = 1;
  for (const auto& [said, words] : cases) {
    const std::string peer = "peer " + std::to_string(++number);
    EXPECT_THAT(told_of(hub, said, peer), HasSubstr(words));
  }
  HubReceiver honest(hub.network());
  honest.connect();
  ASSERT_TRUE(honest.happened.wait_for("data"));
  EXPECT_EQ(honest.contents("data"), pusher.source.bytes);
}

TEST(HostileSource, IsNoHubWhereNoneIsMeant) {
  for (const Kind kind : {Kind::terms, Kind::abandon, Kind::settled, Kind::status}) {
    RawReceiving receiving;
    const Bytes payload = kind == Kind::terms ? encode(Terms{1}) : Bytes{};
    const Ending ending = receiving.hear(Script::of(Role::source).say(kind, payload).bytes());
    EXPECT_TRUE(ending.code == make_error_code(RegionError::malformed)) << ending.text;
  }
}

TEST(HostileSource, PublishesNoVersionOfWhichABlockNeverCame) {
  RawReceiving receiving;
  BlockTable unknown(4096);
  unknown.resize(8192);
  const Ending ending =
      receiving.hear(Script::of(Role::source)
                         .say(Kind::offer, Offer{8192, 4096, "data"})
                         .say(Kind::begin, Begin{1, 8192})
                         .say(Kind::end, End{1, unknown.digest(), {}, {}}, 0, kFlagPublish)
                         .bytes());
  EXPECT_THAT(ending.text, HasSubstr("of which a block never came"));
  EXPECT_FALSE(std::filesystem::exists(receiving.path("data")));
}

}  // namespace
}  // namespace memsync::mmap_push
