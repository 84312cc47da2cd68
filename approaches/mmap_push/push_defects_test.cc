// What a reference of the same idea gets wrong, and what this one did: none of it comes back.
#include <gtest/gtest.h>

#include "approaches/mmap_push/raw_peer.h"
#include "lib/region/chunk_hash.h"

namespace memsync::mmap_push {
namespace {

using std::byte;

// xF3: a CRC32 is linear, so a change by a multiple of its polynomial is no change to it.
TEST(Pushing, SeesAChangeThatACrc32DoesNot) {
  PushPair pair;
  TestSource source(seeded(16 * 4096, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  const auto block = std::span(source.bytes).subspan(4096, 4096);
  const ChunkHash before = hash_chunk(HashAlgorithm::crc32, block);
  Bytes changed(block.begin() + 7, block.begin() + 12);
  for (size_t i = 0; i < changed.size(); ++i)
    changed[i] ^= static_cast<byte>(0x1'db71'0641U >> (8 * i));
  source.write(4096 + 7, changed);
  ASSERT_EQ(hash_chunk(HashAlgorithm::crc32, block), before);
  EXPECT_EQ(pair.sync().chunks_moved, 1u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

// xF4: what arrives is held against what was read to be sent, not against an earlier look.
TEST(Pushing, PublishesNoRoundWhoseBytesAreOthers) {
  RawReceiving receiving;
  const Bytes before = seeded(4096, 1), sent = seeded(4096, 2);
  receiving.bring("data", before);
  const auto script = [&](const Bytes& claimed) {
    return Script::of(Role::source)
        .say(Kind::offer, Offer{4096, 4096, "data"})
        .say(Kind::begin, Begin{1, 4096})
        .place(Kind::blocks, 0, sent)
        .say(Kind::end, End{.round = 1, .table = table_digest(claimed)}, 0, kFlagPublish)
        .bytes();
  };
  EXPECT_EQ(receiving.hear(script(seeded(4096, 3))).code, of_errno(EBADMSG));
  EXPECT_EQ(file_bytes(receiving.path("data")), before);
  EXPECT_EQ(receiving.hear(script(sent)).code, std::error_code{});
  EXPECT_EQ(file_bytes(receiving.path("data")), sent);
}

// Blocks that need not be sent may take long to compare; what has been written does not wait for
// them.
TEST(Pushing, SaysThatItIsThereWhileItOnlyCompares) {
  auto [ours, theirs] = stream_pair();
  FrameStream saying(*ours, Role::source), hearing(*theirs, Role::receiver);
  RoundWriter writer(saying, 0, Compression::off, after(PushPair::kPatience));
  const Bytes sent = seeded(4096, 2);
  std::ranges::copy(sent, writer.room(0, 4096).begin());
  writer.keep();
  writer.keep_alive();
  EXPECT_EQ(hearing.next(after(PushPair::kPatience)).kind, Kind::blocks);
  EXPECT_EQ(hearing.next(after(PushPair::kPatience)).kind, Kind::alive);

  RawReceiving receiving;
  const auto script =
      Script::of(Role::source)
          .say(Kind::offer, Offer{4096, 4096, "data"})
          .say(Kind::begin, Begin{1, 4096})
          .header(Kind::alive, 0)
          .place(Kind::blocks, 0, sent)
          .header(Kind::alive, 0)
          .say(Kind::end, End{.round = 1, .table = table_digest(sent)}, 0, kFlagPublish)
          .bytes();
  EXPECT_EQ(receiving.hear(script).code, std::error_code{});
  EXPECT_EQ(file_bytes(receiving.path("data")), sent);
}

// xF6: a source that can't be looked at is an error and no empty file.
TEST(Pushing, OfASourceThatHasGoneLeavesTheReceiversFile) {
  class Vanishing : public TestSource {
   public:
    using TestSource::TestSource;
    std::optional<uint64_t> refresh() override {
      if (is_gone) throw_errno("looking at the source", ENOENT);
      return TestSource::refresh();
    }
    bool is_gone = false;
  };
  PushPair pair;
  Vanishing source(seeded(8192, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  source.is_gone = true;
  EXPECT_EQ(ending_of([&] { pair.sync(); }).code, of_errno(ENOENT));
  EXPECT_EQ(pair.contents("data"), source.bytes);
  source.is_gone = false;
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

std::ptrdiff_t entries(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

// xF7, xF9: neither descriptors nor threads stay behind what has failed.
TEST(Pushing, LeavesNothingOpenBehindFailures) {
  RawReceiving receiving;
  const Bytes script = Script::of(Role::source)
                           .say(Kind::offer, Offer{4096, 4096, "a/b/data"})
                           .say(Kind::begin, Begin{1, 4096})
                           .header(Kind::blocks, 0xffffffff)
                           .bytes();
  std::filesystem::create_directories(receiving.path("c/data"));
  receiving.hear(script);
  ending_of([&] { receiving.bring("c/data", {}); });  // TSan has a thread of its own from here on
  const auto files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(receiving.hear(script).code);
    EXPECT_TRUE(ending_of([&] { receiving.bring("c/data", {}); }).code);
  }
  EXPECT_EQ(entries("/proc/self/fd"), files);
  // A thread that has been joined may still be listed for a moment.
  const Deadline patience = after(PushPair::kPatience);
  while (entries("/proc/self/task") != threads && Clock::now() < patience)
    std::this_thread::yield();
  EXPECT_EQ(entries("/proc/self/task"), threads);
}

// What the source kept of a block is what another receiver holds: no base for a patch.
TEST(Pushing, PatchesNothingThatTheReceiverDoesNotHold) {
  TestSource source(seeded(16 * 4096, 1), true);
  PushPair first, second;
  for (uint64_t round = 0; round < 4; ++round) {
    source.write(5 * 4096 + round, {byte{1}});
    PushPair& pair = round % 2 == 0 ? first : second;
    pair.connect().offer("data", source, after(PushPair::kPatience));
    EXPECT_NO_THROW(pair.sync());
    EXPECT_EQ(pair.contents("data"), source.bytes);
  }
}

// The writer of a round takes back the room that a patch was made of.
TEST(Pushing, KeepsWhatItPatched) {
  PushPair pair;
  TestSource source(seeded(16 * 4096, 1), true);
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  for (uint64_t round = 0; round < 5; ++round) {
    source.write(5 * 4096 + 9 * round, {byte{1}, byte{2}});
    EXPECT_LE(pair.sync().payload_bytes, 16u);
    EXPECT_TRUE(
        std::ranges::equal(source.held(5), std::span(source.bytes).subspan(5 * 4096, 4096)));
    EXPECT_EQ(pair.contents("data"), source.bytes);
  }
}

// The receiver's file is longer, and the source is cut short while it is read for the first time:
// both ends must know the same blocks.
TEST(Pushing, ToALongerFileSurvivesThatTheSourceIsCutShort) {
  PushPair pair;
  put_file(pair.path("data"), seeded(20 * 4096, 1));
  TestSource source(seeded(10 * 4096 + 5, 2));
  source.on_copy = [&](uint64_t offset) {
    if (offset == 3 * 4096) source.bytes.resize(2 * 4096 + 7);
  };
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_NO_THROW(pair.sync());
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

// However many rounds nobody publishes, and however they overlap: the old version follows.
TEST(Pushing, CatchesUpWithManyRoundsThatNobodySaw) {
  RawReceiving receiving;
  constexpr uint64_t kBlocks = 64;
  receiving.bring("data", seeded(kBlocks * 4096, 1));
  ReceivedFile& received = receiving.received->open("data", 4096);
  Bytes model = file_bytes(receiving.path("data"));
  SeededDraws draws(4);
  for (int published = 0; published < 3; ++published) {
    for (int i = 0; i < 70'000; ++i) {  // more than are kept without being joined
      const uint64_t block = 2 * draws.below(kBlocks / 2);  // not beside each other
      const auto at = static_cast<std::ptrdiff_t>(block * 4096 + draws.below(2) * 100);
      if (draws.below(3) == 0) {
        received.file.write_zeros(static_cast<uint64_t>(at), 200);
        std::fill_n(model.begin() + at, 200, byte{0});
      } else {
        const Bytes bytes(150, static_cast<byte>(draws.next()));
        received.file.write(bytes, static_cast<uint64_t>(at));
        std::ranges::copy(bytes, model.begin() + at);
      }
    }
    received.file.publish();
    EXPECT_EQ(file_bytes(receiving.path("data")), model);
    received.file.catch_up(VersionFile::Patience::none);
    EXPECT_EQ(file_bytes(receiving.path(".memsync-spare.data")), model);
  }
}

}  // namespace
}  // namespace memsync::mmap_push
