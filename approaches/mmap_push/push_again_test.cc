// What a receiver does with files that it has had before.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "approaches/mmap_push/push_pair.h"

namespace memsync::mmap_push {
namespace {

using std::byte;
using testing::HasSubstr;

struct stat status_of(const std::string& path) {
  struct stat status{};
  check(::stat(path.c_str(), &status), "looking at " + path);
  return status;
}

void flip(const std::string& path, uint64_t offset) {
  const auto file = FileDescriptor::open(path, O_RDWR);
  byte one{};
  ASSERT_EQ(::pread(file.get(), &one, 1, static_cast<off_t>(offset)), 1);
  one ^= byte{1};
  ASSERT_EQ(::pwrite(file.get(), &one, 1, static_cast<off_t>(offset)), 1);
}

TEST(PushingAgain, LeavesAVersionThatReadersHaveAlready) {
  PushPair pair;
  TestSource source(seeded(3 << 20, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  const auto before = status_of(pair.path("data"));
  pair.sync();
  EXPECT_EQ(status_of(pair.path("data")).st_ino, before.st_ino);
  pair.restart_receiver();
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  EXPECT_EQ(status_of(pair.path("data")).st_ino, before.st_ino);
  source.write(0, {byte{1}});
  pair.sync();
  EXPECT_NE(status_of(pair.path("data")).st_ino, before.st_ino);
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(PushingAgain, PublishesAnewWhatSomebodyHasRemoved) {
  PushPair pair;
  TestSource source(seeded(20'000, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  std::filesystem::remove(pair.path("data"));
  source.write(0, {byte{1}});
  pair.sync();
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(PushingAgain, InPlaceSaysThatSomebodyHasRemovedTheFile) {
  PushPair pair(Publish::in_place);
  TestSource source(seeded(20'000, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  std::filesystem::remove(pair.path("data"));
  source.write(0, {byte{1}});
  try {
    pair.sync();
    FAIL() << "a round went into a file that nobody can find";
  } catch (const PeerFailure& problem) {
    EXPECT_EQ(problem.code().value(), ENOENT);
    EXPECT_THAT(problem.what(), HasSubstr("data"));
  }
}

// The version that is flipped is the next one in the making or the one that readers see.
TEST(PushingAgain, FindsADamagedVersionWhoseReceiverIsNew) {
  for (const char* name : {"data", ".memsync-spare.data"}) {
    PushPair pair;
    TestSource source(seeded(3 << 20, 1));
    pair.connect().offer("data", source, after(PushPair::kPatience));
    pair.sync();
    pair.disconnect();
    flip(pair.path(name), (2 << 20) + 5);
    pair.restart_receiver();
    pair.connect().offer("data", source, after(PushPair::kPatience));
    for (uint64_t round = 0; round < 3; ++round) {
      pair.sync();
      EXPECT_TRUE(pair.contents("data") == source.bytes) << name << ", round " << round;
      source.write(round, {byte{7}});
    }
  }
}

// Its table says what it has written, not what somebody has made of it.
TEST(PushingAgain, FindsByAnOfferMadeAnewWhatTheReceiversTableHides) {
  for (const Publish publish : {Publish::versions, Publish::in_place}) {
    PushPair pair(publish);
    TestSource source(seeded(3 << 20, 1));
    Sender& sender = pair.connect();
    sender.offer("data", source, after(PushPair::kPatience));
    pair.sync();
    flip(pair.path("data"), 1'000'000);
    EXPECT_EQ(pair.sync().chunks_moved, 0u);
    EXPECT_FALSE(pair.contents("data") == source.bytes);
    sender.offer_anew(after(PushPair::kPatience));
    EXPECT_EQ(pair.sync().chunks_moved, 1u);
    EXPECT_TRUE(pair.contents("data") == source.bytes);
    source.write(0, {byte{1}});
    pair.sync();
    EXPECT_TRUE(pair.contents("data") == source.bytes);
  }
}

// The receiver's file was made longer or shorter by somebody else.
TEST(PushingAgain, FindsByAnOfferMadeAnewAnotherLength) {
  for (const Publish publish : {Publish::versions, Publish::in_place})
    for (const uint64_t length : {uint64_t{5000}, uint64_t{4} << 20}) {
      PushPair pair(publish);
      TestSource source(seeded(3 << 20, 1));
      Sender& sender = pair.connect();
      sender.offer("data", source, after(PushPair::kPatience));
      pair.sync();
      std::filesystem::resize_file(pair.path("data"), length);
      sender.offer_anew(after(PushPair::kPatience));
      pair.sync();
      EXPECT_TRUE(pair.contents("data") == source.bytes) << length;
    }
}

TEST(PushingAgain, IsRefusedWithTheReceiversWords) {
  PushPair pair;
  TestSource source(seeded(20'000, 1));
  ReceiverEvents events;
  events.offered = [](const std::string& name) { throw_errno(name + " is taken", EBUSY); };
  Sender& sender = pair.connect(std::move(events));
  try {
    sender.offer("data", source, after(PushPair::kPatience));
    FAIL() << "it was taken";
  } catch (const PeerFailure& problem) {
    EXPECT_EQ(problem.code().value(), EBUSY);
    EXPECT_THAT(problem.what(), HasSubstr("data is taken"));
  }
  EXPECT_FALSE(std::filesystem::exists(pair.path(".memsync-spare.data")));
}

TEST(PushingAgain, LeavesAFileOutWhileItsSourceIsGone) {
  PushPair pair;
  TestSource source(seeded(20'000, 1)), other(seeded(20'000, 2));
  Sender& sender = pair.connect();
  sender.offer("data", source, after(PushPair::kPatience));
  sender.offer("other", other, after(PushPair::kPatience));
  pair.sync();
  source.is_gone = true;
  other.write(0, {byte{1}});
  EXPECT_EQ(pair.sync().chunks_moved, 1u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  EXPECT_EQ(pair.contents("other"), other.bytes);
  source.is_gone = false;
  source.write(0, {byte{1}});
  EXPECT_EQ(pair.sync().chunks_moved, 1u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(PushingAgain, RefusesAnOfferMadeAnewThatIsNoneMadeBefore) {
  struct Case {
    uint32_t file;
    const char* name;
    uint32_t block_bytes;
    bool is_in_round;
  };
  for (const Case& wrong : {Case{0, "other", 4096, false}, Case{0, "data", 8192, false},
                            Case{7, "data", 4096, false}, Case{0, "data", 4096, true}}) {
    PushPair pair;
    pair.connect();
    FrameStream raw(pair.dialled(), Role::source);
    const Deadline deadline = after(PushPair::kPatience);
    raw.send(Kind::offer, 0, encode(Offer{4096, 4096, "data"}));
    raw.flush(deadline);
    EXPECT_EQ(raw.next(deadline).kind, Kind::have);
    if (wrong.is_in_round) raw.send(Kind::begin, 0, encode(Begin{1, 4096}));
    raw.send(Kind::offer, wrong.file, encode(Offer{4096, wrong.block_bytes, wrong.name}),
             kFlagAnew);
    raw.flush(deadline);
    EXPECT_THROW(raw.next(deadline), PeerFailure);
    EXPECT_THAT(pair.disconnect(), HasSubstr("the push protocol"));
    EXPECT_FALSE(std::filesystem::exists(pair.path("other")));
  }
}

TEST(PushingAgain, BringsAnEmptyFileThatWasNotThereAtFirst) {
  PushPair pair;
  TestSource source(Bytes{});
  source.is_gone = true;
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  EXPECT_FALSE(std::filesystem::exists(pair.path("data")));
  source.is_gone = false;
  pair.sync();
  EXPECT_TRUE(std::filesystem::exists(pair.path("data")));
}

}  // namespace
}  // namespace memsync::mmap_push
