// What lies in a receiver's folder, and what the folder can't do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "approaches/mmap_push/raw_peer.h"
#include "lib/os/mapping.h"

namespace memsync::mmap_push {
namespace {

using std::byte;
namespace fs = std::filesystem;

constexpr const char* kSpare = ".memsync-spare.data";

struct Obstacle {
  const char* name;
  const char* at;
  std::function<void(const std::string& path, const std::string& outside)> put;
  int expected;
};

const auto kLink = [](const std::string& path, const std::string& outside) {
  fs::create_symlink(outside, path);
};
const auto kFolder = [](const std::string& path, const std::string&) {
  fs::create_directory(path);
};
const auto kPipe = [](const std::string& path, const std::string&) {
  check(::mkfifo(path.c_str(), 0600), "mkfifo");
};
const auto kDevice = [](const std::string& path, const std::string&) {
  check(::mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 3)), "mknod");
};
const auto kFile = [](const std::string& path, const std::string&) { put_file(path, {byte{1}}); };

std::vector<Obstacle> obstacles() {
  return {{"link_at_the_first_folder", "a", kLink, ENOTDIR},
          {"link_at_the_second_folder", "a/b", kLink, ENOTDIR},
          {"link_at_the_file", "a/b/data", kLink, ELOOP},
          {"link_at_the_spare", "a/b/.memsync-spare.data", kLink, ELOOP},
          {"file_at_a_folder", "a", kFile, ENOTDIR},
          {"pipe_at_a_folder", "a/b", kPipe, ENOTDIR},
          {"folder_at_the_file", "a/b/data", kFolder, EISDIR},
          {"folder_at_the_spare", "a/b/.memsync-spare.data", kFolder, EISDIR},
          {"pipe_at_the_file", "a/b/data", kPipe, EINVAL},
          {"pipe_at_the_spare", "a/b/.memsync-spare.data", kPipe, EINVAL},
          {"device_at_the_file", "a/b/data", kDevice, EINVAL},
          {"device_at_the_spare", "a/b/.memsync-spare.data", kDevice, EINVAL}};
}

class ReceivedFolderWithA : public testing::TestWithParam<std::tuple<Publish, size_t>> {};
INSTANTIATE_TEST_SUITE_P(Ways, ReceivedFolderWithA,
                         testing::Combine(testing::Values(Publish::versions, Publish::in_place),
                                          testing::Range(size_t{0}, obstacles().size())),
                         [](const auto& test) {
                           return std::string(obstacles()[std::get<1>(test.param)].name) +
                                  (std::get<0>(test.param) == Publish::in_place ? "_in_place" : "");
                         });

TEST_P(ReceivedFolderWithA, RefusesTheFileAndTakesOthers) {
  const auto& [publish, number] = GetParam();
  const Obstacle obstacle = obstacles()[number];
  const bool is_at_spare = std::string_view(obstacle.at).ends_with(kSpare);
  const TemporaryFolder outside = TemporaryFolder::make(kMemoryFolder);
  put_file(outside.path() + "/data", {byte{9}});
  RawReceiving receiving(publish);
  const std::string at = receiving.path(obstacle.at);
  fs::create_directories(fs::path(at).parent_path());
  try {
    const bool is_file = std::string_view(obstacle.at).ends_with("data");
    obstacle.put(at, outside.path() + (is_file ? "/data" : ""));
  } catch (const std::system_error& problem) {
    GTEST_SKIP() << problem.what() << "; needs root";
  }
  const Script offer = Script::of(Role::source).say(Kind::offer, Offer{1, 4096, "a/b/data"});
  const Ending ending = receiving.hear(offer.bytes());
  if (publish == Publish::in_place && is_at_spare)
    EXPECT_EQ(ending.code, std::error_code{}) << "there is no spare";
  else
    EXPECT_EQ(ending.code, of_errno(obstacle.expected)) << ending.text;
  EXPECT_EQ(file_bytes(outside.path() + "/data"), Bytes{byte{9}});
  EXPECT_EQ(std::distance(fs::directory_iterator(outside.path()), {}), 1);
  const Bytes bytes = seeded(10'000, 1);
  receiving.bring("other", bytes);
  EXPECT_EQ(file_bytes(receiving.path("other")), bytes);
  fs::remove_all(at);
  receiving.bring("a/b/data", bytes);
  EXPECT_EQ(file_bytes(receiving.path("a/b/data")), bytes);
}

// The old version would be written to by its second name.
TEST(ReceivedFolder, LeavesAloneWhatHasAnotherName) {
  RawReceiving receiving;
  const Bytes first = seeded(10'000, 1);
  receiving.bring("data", first);
  fs::create_hard_link(receiving.path("data"), receiving.path("kept"));
  for (uint64_t seed = 2; seed < 6; ++seed) receiving.bring("data", seeded(10'000, seed));
  EXPECT_EQ(file_bytes(receiving.path("kept")), first);
  EXPECT_EQ(file_bytes(receiving.path("data")), seeded(10'000, 5));
}

// A reader of the old version outlives the receiver: the next one must not take the file it reads
// for a spare that nobody needs.
TEST(ReceivedFolder, LeavesAReaderItsVersionWhenTheReceiverStartsAnew) {
  PushPair pair;
  TestSource source(seeded(64 * 4096, 1));
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  const Bytes first = source.bytes;
  const auto open = FileDescriptor::open(pair.path("data"), O_RDONLY);
  if (const auto probe = FileDescriptor::open(pair.path("data"), O_RDWR);
      ::fcntl(probe.get(), F_SETLEASE, F_WRLCK) == 0 || errno != EAGAIN)
    GTEST_SKIP() << "this file system tells no readers (fcntl F_SETLEASE)";
  source.write(0, seeded(64 * 4096, 2));
  pair.sync();
  pair.restart_receiver();
  pair.connect().offer("data", source, after(PushPair::kPatience));
  source.write(0, seeded(64 * 4096, 3));
  pair.sync();
  EXPECT_EQ(pair.contents("data"), source.bytes);
  Bytes read(first.size());
  ASSERT_EQ(::pread(open.get(), read.data(), read.size(), 0), static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, first);
}

// A folder where the file was changes places with it as readily as a file does.
TEST(ReceivedFolder, ThrowsNoFolderAwayThatSomebodyPutWhereTheFileWas) {
  RawReceiving receiving;
  receiving.bring("data", seeded(10'000, 1));
  fs::remove(receiving.path("data"));
  fs::create_directory(receiving.path("data"));
  put_file(receiving.path("data/diary"), {byte{1}});
  const Ending ending = ending_of([&] { receiving.bring("data", seeded(10'000, 2)); });
  EXPECT_EQ(ending.code, of_errno(EISDIR)) << ending.text;
  EXPECT_EQ(file_bytes(receiving.path("data/diary")), Bytes{byte{1}});
  fs::remove_all(receiving.path("data"));
  receiving.bring("data", seeded(10'000, 3));
  EXPECT_EQ(file_bytes(receiving.path("data")), seeded(10'000, 3));
}

TEST(ReceivedFolder, IsOneReceivers) {
  const TemporaryFolder folder = TemporaryFolder::make(kMemoryFolder);
  auto owned = own_folder(folder.path());
  const Ending ending = ending_of([&] { own_folder(folder.path()); });
  EXPECT_EQ(ending.code, of_errno(EBUSY)) << ending.text;
  owned = FileDescriptor{};
  EXPECT_NO_THROW(own_folder(folder.path()));
}

TEST(ReceivedFolder, OfAnotherKindIsRefused) {
  const TemporaryFolder folder = TemporaryFolder::make(kMemoryFolder);
  put_file(folder.path() + "/file", {byte{1}});
  for (const auto& [name, expected] : {std::pair{"/none", ENOENT}, std::pair{"/file", ENOTDIR}}) {
    const Ending ending =
        ending_of([&] { ReceivedFolder(folder.path() + name, Publish::versions, Durable::off); });
    EXPECT_EQ(ending.code, of_errno(expected)) << ending.text;
  }
}

// Runs in a child process, whose exit is the verdict. "": it went well.
std::string in_a_child(const std::function<void()>& run) {
  auto [read, write] = FileDescriptor::pipe();
  const pid_t child = check(::fork(), "fork");
  if (child == 0) {
    std::string verdict = "went well";
    try {
      run();
    } catch (const std::exception& problem) {
      verdict = problem.what();
    }
    static_cast<void>(!::write(write.get(), verdict.data(), verdict.size()));
    ::_exit(0);
  }
  write = FileDescriptor{};
  int status = 0;
  ::waitpid(child, &status, 0);
  std::string verdict(1000, ' ');
  const ssize_t got = ::read(read.get(), verdict.data(), verdict.size());
  verdict.resize(got > 0 ? static_cast<size_t>(got) : 0);
  if (status != 0) verdict += " status " + std::to_string(status);
  return verdict;
}
void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

// In a mount namespace of the child's own, which goes with it. `options` as of mount(8).
std::string on_a_small_disk(Publish publish, const char* options,
                            const std::function<void(RawReceiving&)>& run) {
  return in_a_child([&] {
    const TemporaryFolder place = TemporaryFolder::make(kMemoryFolder);
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", place.path().c_str(), "tmpfs", 0, options) != 0)
      throw std::runtime_error("skip: no mount namespace: needs root");
    {
      RawReceiving receiving(publish, {}, place.path());
      run(receiving);
    }
    ::umount2(place.path().c_str(), MNT_DETACH);
  });
}

class AFullDisk : public testing::TestWithParam<Publish> {};
INSTANTIATE_TEST_SUITE_P(Ways, AFullDisk, testing::Values(Publish::versions, Publish::in_place),
                         [](const auto& test) {
                           return test.param == Publish::versions ? "versions" : "in_place";
                         });

TEST_P(AFullDisk, EndsTheRoundWithItsNameAndLaterRoundsFollow) {
  const std::string verdict = on_a_small_disk(GetParam(), "size=4m", [&](RawReceiving& receiving) {
    const Bytes first = seeded(1 << 20, 1);
    receiving.bring("data", first);
    const Ending ending = ending_of([&] { receiving.bring("data", seeded(6 << 20, 2)); });
    expect(ending.code == of_errno(ENOSPC), "the source heard: " + ending.text);
    if (GetParam() == Publish::versions)
      expect(file_bytes(receiving.path("data")) == first, "the version has gone");
    const Bytes second = seeded(1 << 20, 3);
    receiving.bring("data", second);
    expect(file_bytes(receiving.path("data")) == second, "no later round");
  });
  if (verdict.starts_with("skip")) GTEST_SKIP() << verdict;
  EXPECT_EQ(verdict, "went well");
}

// There is room for the new version, and none to bring the old one after it.
TEST(AFullDisk, WhileCatchingUpLosesNothing) {
  const std::string verdict =
      on_a_small_disk(Publish::versions, "size=4m", [&](RawReceiving& receiving) {
        receiving.bring("data", seeded(1 << 20, 1));
        Bytes longer = seeded(5 << 19, 2);
        const Ending ending = ending_of([&] { receiving.bring("data", longer); });
        expect(file_bytes(receiving.path("data")) == longer, "not published");
        expect(!ending.code || ending.code == of_errno(ENOSPC), ending.text);
        longer[5] = byte{1};
        const Ending again = ending_of([&] { receiving.bring("data", longer); });
        expect(again.code == of_errno(ENOSPC), "the source heard: " + again.text);
        longer.resize(1 << 20);
        // The spare of a file that does not fit twice is in its own way; a person makes room.
        fs::remove(receiving.path(kSpare));
        receiving.received.reset();
        receiving.received = std::make_unique<ReceivedFolder>(receiving.folder.path(),
                                                              Publish::in_place, Durable::off);
        receiving.bring("data", longer);
        expect(file_bytes(receiving.path("data")) == longer, "no later round");
      });
  if (verdict.starts_with("skip")) GTEST_SKIP() << verdict;
  EXPECT_EQ(verdict, "went well");
}

TEST(AFolder, ThatIsReadOnlyIsNamed) {
  const std::string verdict =
      on_a_small_disk(Publish::versions, "size=4m", [&](RawReceiving& receiving) {
        const Bytes first = seeded(10'000, 1);
        receiving.bring("data", first);
        receiving.received.reset();
        check(::mount("none",
                      receiving.folder.path().substr(0, receiving.folder.path().rfind('/')).c_str(),
                      nullptr, MS_REMOUNT | MS_RDONLY, nullptr),
              "mounting read-only");
        receiving.received = std::make_unique<ReceivedFolder>(receiving.folder.path(),
                                                              Publish::versions, Durable::off);
        for (const char* name : {"data", "other", "a/data"}) {
          const Ending ending = ending_of([&] { receiving.bring(name, seeded(10'000, 2)); });
          expect(ending.code == of_errno(EROFS), "the source heard: " + ending.text);
        }
        expect(file_bytes(receiving.path("data")) == first, "the version has gone");
        check(::mount("none",
                      receiving.folder.path().substr(0, receiving.folder.path().rfind('/')).c_str(),
                      nullptr, MS_REMOUNT, nullptr),
              "mounting for writing");
        receiving.bring("data", seeded(10'000, 2));
      });
  if (verdict.starts_with("skip")) GTEST_SKIP() << verdict;
  EXPECT_EQ(verdict, "went well");
}

// A write that fails in the middle of a round (EFBIG, as EIO would): the blocks are unknown, the
// next connection brings them.
TEST(AFolder, WhoseWritesFailLeavesATableThatIsTrue) {
  const std::string verdict = in_a_child([] {
    ::signal(SIGXFSZ, SIG_IGN);
    RawReceiving receiving;
    const Bytes first = seeded(1 << 20, 1), second = seeded(2 << 20, 2);
    receiving.bring("data", first);
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit little{1 << 20, limit.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &little);
    const Ending ending = ending_of([&] { receiving.bring("data", second); });
    expect(ending.code == of_errno(EFBIG), "the source heard: " + ending.text);
    expect(file_bytes(receiving.path("data")) == first, "the version has gone");
    ::setrlimit(RLIMIT_FSIZE, &limit);
    receiving.bring("data", second);
    expect(file_bytes(receiving.path("data")) == second, "no later round");
  });
  EXPECT_EQ(verdict, "went well");
}

}  // namespace
}  // namespace memsync::mmap_push
