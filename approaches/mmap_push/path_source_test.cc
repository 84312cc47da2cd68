// Files of somebody else's, pushed while they are written, cut, replaced and removed.
#include "approaches/mmap_push/path_source.h"

#include <atomic>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "approaches/mmap_push/push_pair.h"
#include "lib/os/mapping.h"

namespace memsync::mmap_push {
namespace {

using std::byte;
using testing::HasSubstr;

// A folder with one file in it, and how people change such files.
class PathSourceTest : public testing::Test {
 protected:
  PathSourceTest() {
    std::string name = (std::filesystem::temp_directory_path() / "memsync-path-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_errno("making " + name);
    folder_ = name;
    path_ = folder_ + "/data";
  }
  ~PathSourceTest() override { std::filesystem::remove_all(folder_); }

  void write_file(const std::string& path, const Bytes& bytes) {
    const auto file = FileDescriptor::open(path, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(file.get(), bytes.data(), bytes.size(), "writing " + path);
  }
  void write_at(uint64_t offset, const Bytes& bytes) {
    const auto file = FileDescriptor::open(path_, O_WRONLY);
    ASSERT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  }
  Bytes contents() const {
    Bytes bytes(std::filesystem::file_size(path_));
    const auto file = FileDescriptor::open(path_, O_RDONLY);
    read_all(file.get(), bytes.data(), bytes.size(), "reading " + path_);
    return bytes;
  }
  void expect_equal(PushPair& pair) { EXPECT_TRUE(pair.contents("data") == contents()); }

  // One operation of a random writer.
  void change(std::mt19937_64& random) {
    const uint64_t size = std::filesystem::file_size(path_);
    const uint64_t at = random() % (size + 5000), kind = random() % 100;
    if (kind < 60) {
      write_at(at, seeded(random() % 9000, random()));
    } else if (kind < 75) {
      if (size == 0) return;
      const auto file = FileDescriptor::open(path_, O_RDWR);
      Mapping::shared(file, size).bytes()[at % size] = static_cast<byte>(random());
    } else if (kind < 85) {
      ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(random() % 300'000)), 0);
    } else if (kind < 95) {
      const auto file = FileDescriptor::open(path_, O_RDWR);
      ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            static_cast<off_t>(at), 20'000),
                0);
    } else {
      write_file(folder_ + "/new", seeded(random() % 300'000, random()));
      std::filesystem::rename(folder_ + "/new", path_);
    }
  }

  std::string folder_, path_;
};

TEST_F(PathSourceTest, SendsWhatAnyWriterChangedAndNothingElse) {
  PushPair pair;
  write_file(path_, seeded(1 << 20, 1));
  PathSource source(path_, {});
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  write_at(5 * 4096 + 17, {byte{1}});
  EXPECT_EQ(pair.sync().chunks_moved, 1u);
  const auto file = FileDescriptor::open(path_, O_RDWR);
  const Mapping mapping = Mapping::shared(file, 1 << 20);
  mapping.bytes()[100 * 4096] ^= byte{1};
  EXPECT_EQ(pair.sync().chunks_moved, 1u);
  const pid_t child = ::fork();
  if (child == 0) {
    mapping.bytes()[7 * 4096] ^= byte{1};
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const SyncReport report = pair.sync();
  EXPECT_EQ(report.chunks_moved, 1u);
  EXPECT_EQ(report.payload_bytes, 4096u);
  expect_equal(pair);
}

TEST_F(PathSourceTest, FollowsGrowthAndCuts) {
  PushPair pair;
  write_file(path_, seeded(41'060, 1));
  PathSource source(path_, {});
  pair.connect().offer("data", source, after(PushPair::kPatience));
  for (const uint64_t size : {41'060ul, 8192ul, 4096ul, 1ul, 0ul, 5ul, 100'000ul, 12'288ul}) {
    ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(size)), 0);
    if (size > 3) write_at(size - 3, seeded(3, size));
    pair.sync();
    expect_equal(pair);
  }
}

// xF10: hashes by path and bytes by an older descriptor resend the old bytes for ever.
TEST_F(PathSourceTest, SendsTheBytesOfTheFileThatReplacedTheOneBefore) {
  PushPair pair;
  write_file(path_, seeded(20'000, 1));
  PathSource source(path_, {});
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  for (const uint64_t size : {20'000u, 30'000u, 5u}) {
    write_file(folder_ + "/new", seeded(size, size + 1));
    std::filesystem::rename(folder_ + "/new", path_);
    pair.sync();
    expect_equal(pair);
    EXPECT_EQ(pair.sync().chunks_moved, 0u);
  }
}

// xF6: a file that was removed cut the destination to nothing.
TEST_F(PathSourceTest, LeavesTheReceiverWhatItHasOfAFileThatWasRemoved) {
  PushPair pair;
  const Bytes before = seeded(20'000, 1);
  write_file(path_, before);
  PathSource source(path_, {});
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  std::filesystem::remove(path_);
  EXPECT_EQ(pair.sync().chunks_examined, 0u);
  EXPECT_THAT(source.problem(), HasSubstr(path_));
  EXPECT_TRUE(pair.contents("data") == before);
  // Another connection begins while it is away: what the receiver holds is compared, not sent.
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  EXPECT_TRUE(pair.contents("data") == before);
  write_file(path_, before);
  write_at(0, {byte{1}});
  EXPECT_EQ(pair.sync().chunks_moved, 1u);
  EXPECT_EQ(source.problem(), "");
  expect_equal(pair);
}

TEST_F(PathSourceTest, KeepsOtherFilesGoingWhileOneIsAway) {
  PushPair pair;
  write_file(path_, seeded(20'000, 1));
  write_file(folder_ + "/other", seeded(20'000, 2));
  PathSource source(path_, {}), other(folder_ + "/other", {});
  Sender& sender = pair.connect();
  sender.offer("data", source, after(PushPair::kPatience));
  sender.offer("other", other, after(PushPair::kPatience));
  pair.sync();
  std::filesystem::remove(path_);
  write_file(folder_ + "/other", seeded(20'000, 3));
  pair.sync();
  EXPECT_TRUE(pair.contents("other") == seeded(20'000, 3));
  EXPECT_TRUE(pair.contents("data") == seeded(20'000, 1));
}

TEST_F(PathSourceTest, TellsACutWhileItIsReadFromZeros) {
  write_file(path_, seeded(8 * 4096, 1));
  PathSource source(path_, {});
  ASSERT_EQ(source.refresh(), 8u * 4096);
  ASSERT_EQ(::truncate(path_.c_str(), 4096 + 100), 0);
  EXPECT_EQ(source.changed().size(), 8u);
  Bytes block(4096);
  EXPECT_TRUE(source.copy(block, 0));
  EXPECT_FALSE(source.copy(block, 4096));
  EXPECT_FALSE(source.copy(block, 5 * 4096));
}

TEST_F(PathSourceTest, LeavesHolesAtTheReceiver) {
  PushPair pair;
  write_file(path_, {});
  ASSERT_EQ(::truncate(path_.c_str(), 256 << 20), 0);
  write_at(100 << 20, seeded(4096, 1));
  PathSource source(path_, {});
  pair.connect().offer("data", source, after(PushPair::kPatience));
  EXPECT_EQ(pair.sync().payload_bytes, 4096u);
  struct stat status{};
  ASSERT_EQ(::stat(pair.path("data").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 256 << 20);
  EXPECT_LE(status.st_blocks * 512, 1 << 20);
}

TEST_F(PathSourceTest, TakesOnlyDetectorsThatSeeItsWriters) {
  write_file(path_, seeded(4096, 1));
  for (const DetectorKind kind : kDetectorKinds) {
    const bool sees_all = kind == DetectorKind::hash || kind == DetectorKind::shadow;
    if (sees_all)
      EXPECT_NO_THROW(PathSource(path_, {.detector = kind}));
    else
      EXPECT_THROW(PathSource(path_, {.detector = kind}), std::invalid_argument) << name_of(kind);
  }
}

TEST_F(PathSourceTest, RefusesWhatIsNoPlainFile) {
  EXPECT_THROW(PathSource(path_, {}), std::system_error);
  EXPECT_THROW(PathSource(folder_, {}), std::system_error);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THROW(PathSource(path_, {}), std::system_error);
}

// Where writers promise to use calls alone, one look at the file's time is a whole round.
TEST_F(PathSourceTest, LooksAtNothingWhileTheTimesOfItStay) {
  for (const DetectorKind kind : {DetectorKind::mtime, DetectorKind::inotify}) {
    PushPair pair;
    write_file(path_, seeded(1 << 20, 1));
    std::optional<PathSource> source;
    try {
      source.emplace(path_, PathSettings{.detector = kind, .writers = {Writer::file_calls}});
    } catch (const std::invalid_argument& problem) {
      GTEST_SKIP() << problem.what();
    }
    pair.connect().offer("data", *source, after(PushPair::kPatience));
    pair.sync();
    write_at(4096, {byte{1}});
    EXPECT_EQ(pair.sync().chunks_moved, 1u) << name_of(kind);
    expect_equal(pair);
    // A time stamp of the same tick may be looked at twice (mtime).
    for (int i = 0; i < 1000 && pair.sync().chunks_examined > 0; ++i) {
    }
    EXPECT_EQ(pair.sync().chunks_examined, 0u) << name_of(kind);
    write_file(folder_ + "/new", seeded(1 << 20, 2));
    std::filesystem::rename(folder_ + "/new", path_);
    pair.sync();
    expect_equal(pair);
  }
}

// Writes, stores, cuts, growth, holes and replacement while rounds go on: never a SIGBUS, and equal
// when the writer rests.
TEST_F(PathSourceTest, IsEqualWheneverTheWriterRests) {
  for (const uint64_t seed : {1u, 2u}) {
    PushPair pair;
    write_file(path_, seeded(200'000, seed));
    PathSource source(path_, {});
    pair.connect().offer("data", source, after(PushPair::kPatience));
    std::mt19937_64 random(seed);
    for (int rest = 0; rest < 10; ++rest) {
      std::atomic<bool> has_ended = false;
      std::jthread writer([&] {
        for (int i = 0; i < 300; ++i) change(random);
        has_ended = true;
      });
      while (!has_ended) pair.sync();
      writer.join();
      pair.sync();
      EXPECT_TRUE(pair.contents("data") == contents()) << "seed " << seed << ", rest " << rest;
    }
  }
}

// The bytes that were looked at are others than those that are sent: v2 comes back after v3 went.
TEST_F(PathSourceTest, FindsAChangeThatCameBackBetweenTheHashAndTheCopy) {
  const Bytes first = seeded(4096, 1), second = seeded(4096, 2), third = seeded(4096, 3);
  write_file(path_, first);
  PathSource source(path_, {});
  source.refresh();
  Bytes copy(4096);
  const auto send = [&] {
    ASSERT_TRUE(source.copy(copy, 0));
    source.note_held(0, copy);
  };
  send();
  write_at(0, second);
  EXPECT_EQ(source.changed().size(), 1u);
  write_at(0, third);
  send();
  write_at(0, second);
  EXPECT_EQ(source.changed().size(), 1u);
}

}  // namespace
}  // namespace memsync::mmap_push
