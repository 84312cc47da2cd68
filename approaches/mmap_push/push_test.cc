// Files that are pushed, over a real connection into a real folder.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <sys/stat.h>

#include "approaches/mmap_push/push_pair.h"
#include "lib/os/mapping.h"

namespace memsync::mmap_push {
namespace {

using std::byte;

TEST(Pushing, BringsEverythingFirstAndAfterwardsOnlyWhatChanged) {
  PushPair pair;
  TestSource source(seeded(1 << 20, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_EQ(pair.sync().chunks_moved, 256u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  source.write(5 * 4096 + 17, {byte{1}, byte{2}});
  source.write(200 * 4096, seeded(8192, 2));
  const SyncReport report = pair.sync();
  EXPECT_EQ(report.chunks_moved, 3u);
  EXPECT_EQ(report.payload_bytes, 3u * 4096);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  EXPECT_EQ(pair.sync().chunks_moved, 0u);
}

// Growth, shrinking, on a block's boundary and off it, to nothing and back: a reference that takes
// the size from the last changed block loses the rest (xF1), or never shrinks (xF2).
TEST(Pushing, KeepsSizesEqual) {
  PushPair pair;
  TestSource source(seeded(41'060, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  source.write(4096 * 2, {byte{1}});
  pair.sync();
  EXPECT_EQ(pair.contents("data"), source.bytes);
  uint64_t seed = 2;
  for (const uint64_t size : {8192ul, 4096ul, 1ul, 0ul, 5ul, 4097ul, 12'288ul, 8192ul, 100'000ul}) {
    Bytes longer = seeded(size, ++seed);
    std::copy_n(source.bytes.begin(), std::min(size, source.bytes.size()), longer.begin());
    source.bytes = longer;
    pair.sync();
    EXPECT_EQ(pair.contents("data"), source.bytes) << size << " bytes";
  }
}

TEST(Pushing, OfZerosLeavesHoles) {
  PushPair pair;
  TestSource source(Bytes(8 << 20));
  source.bytes[5 << 20] = byte{1};
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_EQ(pair.sync().payload_bytes, 4096u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  for (int round = 0; round < 3; ++round) {
    struct stat status{};
    ASSERT_EQ(::stat(pair.path("data").c_str(), &status), 0);
    EXPECT_LE(status.st_blocks * 512, 1 << 20) << "round " << round;
    source.write(5 << 20, {static_cast<byte>(round + 2)});
    pair.sync();
    EXPECT_EQ(pair.contents("data"), source.bytes);
  }
}

TEST(Pushing, CarriesSeveralFilesInOneRoundOverOneConnection) {
  PushPair pair;
  Sender& sender = pair.connect();
  std::vector<std::unique_ptr<TestSource>> sources;
  for (uint64_t i = 0; i < 16; ++i) {
    sources.push_back(std::make_unique<TestSource>(seeded(10'000 * i, i)));
    sender.offer("folder/" + std::to_string(i % 3) + "/" + std::to_string(i), *sources.back(),
                 after(PushPair::kPatience));
  }
  pair.sync();
  for (const size_t i : {3u, 7u, 12u}) sources[i]->write(9000 * i, {byte{77}});
  EXPECT_EQ(pair.sync().chunks_moved, 3u);
  for (uint64_t i = 0; i < 16; ++i)
    EXPECT_EQ(pair.contents("folder/" + std::to_string(i % 3) + "/" + std::to_string(i)),
              sources[i]->bytes);
}

TEST(Pushing, GoesOnAfterACutWhereItStopped) {
  PushPair pair;
  TestSource source(seeded(4 << 20, 1));
  uint64_t copied = 0;
  source.on_copy = [&](uint64_t) {
    if (++copied == 800) pair.dialled().shut_down();
  };
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_THROW(pair.sync(), std::system_error);
  EXPECT_THAT(pair.disconnect(), testing::HasSubstr("middle of a round"));
  EXPECT_FALSE(std::filesystem::exists(pair.path("data")));  // nobody sees half of it
  for (const bool anew : {false, true}) {
    if (anew) pair.restart_receiver();
    source.on_copy = nullptr;
    pair.connect().offer("data", source, after(PushPair::kPatience));
    const SyncReport report = pair.sync();
    EXPECT_LE(report.chunks_moved, anew ? 0u : 400u);
    EXPECT_EQ(pair.contents("data"), source.bytes);
  }
}

TEST(Pushing, ToAFileThatIsThereMovesOnlyWhatDiffers) {
  PushPair pair;
  TestSource source(seeded(1 << 20, 1));
  Bytes old = source.bytes;
  old[100'000] ^= byte{1};
  old.resize(old.size() - 5000);
  std::ofstream(pair.path("data"), std::ios::binary)
      .write(reinterpret_cast<const char*>(old.data()), static_cast<std::streamsize>(old.size()));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_EQ(pair.sync().chunks_moved, 3u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

// A sender that believed its look at a block, and not what it sent, would lose the way back.
TEST(Pushing, SendsABlockAgainThatGoesBackToWhatItWasBeforeItWasSent) {
  PushPair pair;
  TestSource source(seeded(16 * 4096, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  const Bytes second = seeded(4096, 2), third = seeded(4096, 3);
  source.write(4096, second);
  source.on_copy = [&](uint64_t) { source.write(4096, third); };  // between the look and the copy
  pair.sync();
  source.on_copy = nullptr;
  source.write(4096, second);
  pair.sync();
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(Pushing, ShowsReadersWholeRoundsOnly) {
  PushPair pair;
  TestSource source(seeded(64 * 4096, 1));
  ReceiverEvents events;
  std::vector<Bytes> published;
  events.published = [&](ReceivedFile&, const End&, bool) {
    published.push_back(pair.contents("data"));
  };
  pair.connect(events).offer("data", source, after(PushPair::kPatience));
  std::vector<Bytes> versions;
  for (uint64_t round = 0; round < 6; ++round) {
    source.write(round * 4096, seeded(20 * 4096, round));
    Bytes before = versions.empty() ? Bytes{} : versions.back();
    source.on_copy = [&](uint64_t) {
      if (!before.empty()) {
        EXPECT_EQ(pair.contents("data"), before);
      }
    };
    versions.push_back(source.bytes);
    pair.sync();
  }
  EXPECT_EQ(published, versions);
}

// The file that a reader has open is never written to again, however many rounds it stays.
TEST(Pushing, LeavesAReaderTheVersionThatItOpened) {
  PushPair pair;
  TestSource source(seeded(64 * 4096, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  const Bytes first = source.bytes;
  const auto open = FileDescriptor::open(pair.path("data"), O_RDONLY);
  if (const auto probe = FileDescriptor::open(pair.path("data"), O_RDWR);
      ::fcntl(probe.get(), F_SETLEASE, F_WRLCK) == 0 || errno != EAGAIN)
    GTEST_SKIP() << "this file system tells no readers (fcntl F_SETLEASE)";
  const Mapping mapped =
      Mapping::shared(FileDescriptor::open(pair.path("data"), O_RDONLY), first.size(), PROT_READ);
  for (uint64_t round = 0; round < 5; ++round) {
    source.write(0, seeded(64 * 4096, 10 + round));
    pair.sync();
    EXPECT_TRUE(std::ranges::equal(mapped.bytes(), first)) << "round " << round;
    EXPECT_EQ(pair.contents("data"), source.bytes);
  }
  Bytes read(first.size());
  ASSERT_EQ(::pread(open.get(), read.data(), read.size(), 0), static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, first);
}

TEST(Pushing, SurvivesThatItsFileIsRemovedOrReplaced) {
  PushPair pair;
  TestSource source(seeded(64 * 4096, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  std::filesystem::remove(pair.path("data"));
  source.write(0, {byte{1}});
  pair.sync();
  EXPECT_EQ(pair.contents("data"), source.bytes);
  std::ofstream(pair.path("foreign")) << "not ours";
  std::filesystem::rename(pair.path("foreign"), pair.path("data"));
  for (int round = 0; round < 3; ++round) {
    source.write(0, {static_cast<byte>(round + 2)});
    pair.sync();
    EXPECT_EQ(pair.contents("data"), source.bytes);
  }
}

TEST(Pushing, InPlaceWritesTheFileItself) {
  PushPair pair(Publish::in_place);
  TestSource source(seeded(64 * 4096, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  struct stat before{}, later{};
  ::stat(pair.path("data").c_str(), &before);
  source.write(100, seeded(5000, 2));
  EXPECT_EQ(pair.sync().chunks_moved, 2u);
  ::stat(pair.path("data").c_str(), &later);
  EXPECT_EQ(before.st_ino, later.st_ino);
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(Pushing, SendsOnlyTheBytesThatDifferWhereTheSourceKeptWhatTheReceiverHolds) {
  PushPair pair;
  TestSource source(seeded(64 * 4096, 1), true);
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  source.write(5 * 4096 + 100, seeded(24, 2));
  source.write(6 * 4096 + 4000, seeded(300, 3));  // across a boundary
  source.write(20 * 4096, seeded(4096, 4));       // all of a block
  const SyncReport report = pair.sync();
  EXPECT_EQ(report.chunks_moved, 4u);
  EXPECT_LE(report.payload_bytes, 4096u + 24 + 300 + 3 * 16);
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(Pushing, CompressesWhatBecomesShorter) {
  PushPair pair(Publish::versions, {.compression = Compression::zstd});
  TestSource source(Bytes(1 << 20));
  fill_content(ContentKind::text, 1, source.bytes, 0);
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_LE(pair.sync().payload_bytes, source.bytes.size() * 3 / 4);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  source.write(0, seeded(1 << 20, 2));
  EXPECT_EQ(pair.sync().payload_bytes, source.bytes.size());
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(Pushing, QuietlyPublishesNothingUntilNobodyWrites) {
  PushPair pair(Publish::versions, {.consistency = Consistency::quiet});
  TestSource source(seeded(64 * 4096, 1));
  unsigned published = 0, looks = 0;
  ReceiverEvents events;
  events.published = [&](ReceivedFile&, const End&, bool) { ++published; };
  source.on_changed = [&] {
    if (++looks < 5) source.write(4096 * looks, {static_cast<byte>(looks)});
  };
  pair.connect(events).offer("data", source, after(PushPair::kPatience));
  pair.sync();
  EXPECT_GE(looks, 5u);
  EXPECT_EQ(published, 1u);
  EXPECT_EQ(pair.contents("data"), source.bytes);
  source.on_changed = [&] { source.write(0, seeded(8, ++looks)); };
  try {
    pair.connect().offer("data", source, after(PushPair::kPatience));
    // A writer that never rests: the deadline ends it.
    PushPair never(Publish::versions, {.consistency = Consistency::quiet});
    Sender& sender = never.connect();
    sender.offer("data", source, after(PushPair::kPatience));
    sender.sync({}, after(std::chrono::milliseconds(50)));
    FAIL() << "published while somebody wrote";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), ETIMEDOUT) << problem.what();
  }
}

// Two blocks that the writer changes together are never seen apart.
TEST(Pushing, ASnapshotIsOfOneMoment) {
  PushPair pair(Publish::versions, {.consistency = Consistency::snapshot});
  TestSource source(Bytes(64 * 4096));
  Mutex writing;
  uint8_t count = 0;
  const auto write_both = [&] {
    const MutexLock lock(writing);
    ++count;
    source.write(3 * 4096, {byte{count}});
    source.write(50 * 4096, {byte{count}});
  };
  bool paused = false;
  source.on_copy = [&](uint64_t) {
    if (!paused) write_both();  // the writer goes on while blocks are copied
  };
  ReceiverEvents events;
  unsigned published = 0;
  events.published = [&](ReceivedFile&, const End&, bool) {
    const Bytes seen = pair.contents("data");
    EXPECT_EQ(seen[3 * 4096], seen[50 * 4096]);
    ++published;
  };
  Sender& sender = pair.connect(events);
  sender.offer("data", source, after(PushPair::kPatience));
  const WriterControl control{.pause = [&] { paused = true; }, .resume = [&] { paused = false; }};
  for (int round = 0; round < 10; ++round) {
    write_both();
    sender.sync(control, after(PushPair::kPatience));
  }
  EXPECT_EQ(published, 10u);
}

}  // namespace
}  // namespace memsync::mmap_push
