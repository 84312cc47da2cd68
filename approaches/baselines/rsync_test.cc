// The real rsync between two sides: the right bytes, its own words where it fails, nothing left.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <unistd.h>

#include "approaches/baselines/rsync_program.h"
#include "approaches/baselines/two_sides.h"
#include "lib/os/temporary_folder.h"
#include "lib/region/digest.h"

namespace memsync {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using baselines::TwoSides;
using ::testing::HasSubstr;
using Given = std::map<std::string, std::string>;

constexpr uint64_t kMiB = 1 << 20;

// Folders of sides of this process.
std::vector<std::string> own_folders() {
  const std::string start = TemporaryFolder::kPrefix + std::to_string(::getpid()) + "-";
  std::vector<std::string> found;
  for (const fs::path& place : {fs::path(kMemoryFolder), fs::temp_directory_path()})
    for (const auto& entry : fs::directory_iterator(place))
      if (entry.path().filename().string().starts_with(start)) found.push_back(entry.path());
  return found;
}

// The daemon that works in the folder of `file`, and what it has forked.
std::vector<pid_t> daemons_of(const std::string& file) {
  const std::string folder = fs::path(file).parent_path().parent_path();
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream about(entry.path() / "cmdline", std::ios::binary);
    const std::string line{std::istreambuf_iterator<char>(about), {}};
    if (line.find("--config=" + folder) != std::string::npos)
      found.push_back(std::stoi(entry.path().filename().string()));
  }
  return found;
}

void signal_all(const std::vector<pid_t>& processes, int signal) {
  for (const pid_t process : processes) ::kill(process, signal);
}

std::string failure_of(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const std::exception& problem) {
    return problem.what();
  }
  return "";
}

class RsyncProgram : public testing::Test {
 protected:
  void SetUp() override { skip_where_it_is_missing({}); }
  static void skip_where_it_is_missing(const Given& given) {
    const SyncStrategy& rsync = TwoSides::named("rsync");
    const auto problems = rsync.unmet_requirements(Options(rsync.info().options, given));
    if (!problems.empty()) GTEST_SKIP() << problems[0];
  }
  static TwoSides sides(uint64_t size, Given given = {}) {
    return {"rsync", size, std::move(given), TwoSides::Wire::loopback};
  }
};

struct Case {
  uint64_t size;
  Given given;
};

class Rsync : public RsyncProgram, public testing::WithParamInterface<Case> {
 protected:
  void SetUp() override { skip_where_it_is_missing(GetParam().given); }
};

TEST_P(Rsync, HasEveryByteAtTheOpeningAndAfterEachSync) {
  const auto& [size, given] = GetParam();
  {
    TwoSides both("rsync", size, given, TwoSides::Wire::loopback);
    both.open();
    EXPECT_EQ(digest_of(both.destination->region().memory), digest_of(both.expected()));
    EXPECT_EQ(both.destination->statistics().payload_received, size);
    EXPECT_EQ(both.destination->handover(), nullptr);
    EXPECT_EQ(both.destination->sync(after(1s)), std::nullopt);
    uint64_t literal = size;
    for (int round = 1; round <= 3; ++round) {
      // Within a second, of the same size: rsync's quick check would see no difference.
      both.source->region().memory[size / 2] ^= std::byte{0xff};
      const auto report = both.source->sync(after(30s));
      ASSERT_TRUE(report.has_value());
      literal += report->payload_bytes;
      EXPECT_GE(report->payload_bytes, 1u);
      EXPECT_LE(report->payload_bytes, size);
      EXPECT_EQ(digest_of(both.destination->region().memory),
                digest_of(both.source->region().memory));
      EXPECT_EQ(both.destination->statistics().payload_received, literal);
    }
    both.source->rethrow_failure();
    both.destination->rethrow_failure();
    EXPECT_EQ(own_folders().size(), 2u);
  }
  EXPECT_THAT(own_folders(), testing::IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Ways, Rsync,
                         testing::Values(Case{1, {}}, Case{4097, {}}, Case{1'000'003, {}},
                                         Case{1'000'003, {{"block", "4KiB"}}},
                                         Case{1'000'003, {{"mode", "whole"}}},
                                         Case{1'000'003, {{"inplace", "on"}}},
                                         Case{1'000'003, {{"inplace", "on"}, {"block", "4KiB"}}},
                                         Case{1'000'003, {{"inplace", "on"}, {"mode", "whole"}}},
                                         Case{1'000'003, {{"nodelay", "on"}}},
                                         Case{1'000'003, {{"file", "disk"}}}));

TEST_F(RsyncProgram, SendsBlocksThatDifferOrWithWholeEverything) {
  for (const char* mode : {"delta", "whole"}) {
    TwoSides both = sides(4 * kMiB, {{"block", "4KiB"}, {"mode", mode}});
    both.open();
    for (uint64_t chunk = 0; chunk < 1024; chunk += 100)
      both.source->region().memory[chunk * 4096 + 7] ^= std::byte{1};
    const auto report = both.source->sync(after(30s)).value();
    EXPECT_EQ(report.payload_bytes, mode == std::string("delta") ? 11 * 4096 : 4 * kMiB);
    EXPECT_EQ(report.chunks_moved, mode == std::string("delta") ? 11u : 1024u);
    EXPECT_EQ(report.chunks_examined, 1024u);
  }
}

// What same-offset hashes can't do, and a rolling hash can: the bytes are all there, elsewhere.
TEST_F(RsyncProgram, FindsBytesThatWereShiftedByAnInsertionAtTheFront) {
  constexpr uint64_t kSize = 4 * kMiB;
  constexpr uint64_t kInserted = 100;
  TwoSides both = sides(kSize, {{"block", "4KiB"}});
  both.open();
  const auto memory = both.source->region().memory;
  const std::vector<std::byte> before(memory.begin(), memory.end());
  std::memmove(&memory[kInserted], before.data(), kSize - kInserted);
  std::memset(memory.data(), 0x5a, kInserted);
  uint64_t differ = 0;  // chunks, at the same offset
  for (uint64_t offset = 0; offset < kSize; offset += 4096)
    differ += std::memcmp(&memory[offset], &before[offset], 4096) != 0;
  EXPECT_EQ(differ, kSize / 4096);
  const auto report = both.source->sync(after(30s)).value();
  // The insertion, and the last block, which was cut.
  EXPECT_LE(report.payload_bytes, kInserted + 4096);
  EXPECT_EQ(digest_of(both.destination->region().memory), digest_of(memory));
}

TEST_F(RsyncProgram, SaysThatTheDaemonDiedInTheMiddleOfACopy) {
  constexpr uint64_t kSize = 64 * kMiB;
  TwoSides both = sides(kSize, {{"mode", "whole"}});
  both.open();
  const std::string file = both.destination->region().path;
  const auto unfinished = [&] {
    const auto names = fs::directory_iterator(fs::path(file).parent_path());
    return std::any_of(begin(names), end(names),
                       [&](const auto& entry) { return entry.path() != file; });
  };
  // Stopped first, so that what is killed is known to be in the middle.
  std::string failure;
  for (int attempt = 0; attempt < 50 && failure.empty(); ++attempt) {
    auto syncing = std::async(std::launch::async,
                              [&] { return failure_of([&] { both.source->sync(after(60s)); }); });
    while (!unfinished() && syncing.wait_for(0s) != std::future_status::ready) {
    }
    signal_all(daemons_of(file), SIGSTOP);
    const auto stopped = daemons_of(file);
    if (unfinished()) {
      signal_all(stopped, SIGKILL);
    } else {
      signal_all(stopped, SIGCONT);  // too late; once more
    }
    failure = syncing.get();
  }
  EXPECT_THAT(failure, HasSubstr("running rsync: exit code"));
  EXPECT_THAT(failure, HasSubstr("rsync error")) << "its own words";
  EXPECT_THAT(failure_of([&] { both.destination->rethrow_failure(); }),
              HasSubstr("the rsync daemon has ended: killed by signal 9"));
  EXPECT_THAT(failure_of([&] { both.source->sync(after(10s)); }), HasSubstr("onnection refused"));
}

TEST_F(RsyncProgram, ClosesInTheMiddleOfACopyAndLeavesNothing) {
  std::string file;
  {
    TwoSides both = sides(64 * kMiB);
    both.open();
    file = both.destination->region().path;
    signal_all(daemons_of(file), SIGSTOP);  // rsync waits for its greeting
    EXPECT_THAT(failure_of([&] { both.source->sync(after(100ms)); }), HasSubstr("timed out"));
  }
  EXPECT_THAT(daemons_of(file), testing::IsEmpty());
  EXPECT_THAT(own_folders(), testing::IsEmpty());
}

TEST_F(RsyncProgram, SaysWhyTheFirstCopyFailedAtBothSides) {
  TwoSides both = sides(kMiB);
  both.open_source();
  fs::remove(both.source->region().path);
  const std::string told = failure_of([&] { both.open_destination(); });
  EXPECT_THAT(told, HasSubstr("the source says 'running rsync: exit code 23"));
  EXPECT_THAT(told, HasSubstr("No such file or directory"));
  EXPECT_THAT(failure_of([&] { both.source->rethrow_failure(); }), HasSubstr("exit code 23"));
}

TEST_F(RsyncProgram, SaysThatItsCopyWasRemovedAndBringsItBack) {
  TwoSides both = sides(kMiB);
  both.open();
  fs::remove(both.destination->region().path);
  EXPECT_THAT(failure_of([&] { both.destination->region(); }),
              HasSubstr("looking for rsync's copy"));
  both.source->sync(after(30s));
  EXPECT_EQ(digest_of(both.destination->region().memory), digest_of(both.expected()));
}

TEST_F(RsyncProgram, RefusesADestinationOfAnotherSize) {
  TwoSides small = sides(kMiB);
  small.open_source();
  TwoSides large = sides(kMiB + 1);
  EXPECT_THAT(failure_of([&] { large.open_destination(); }), HasSubstr("1048577"));
}

TEST_F(RsyncProgram, ClosesWhileNobodyHasConnected) {
  TwoSides both = sides(kMiB);
  both.open_source();
  EXPECT_THAT(failure_of([&] { both.source->sync(after(20ms)); }), HasSubstr("first copy"));
}

TEST_F(RsyncProgram, TakesNoBlockThatRsyncWouldRefuse) {
  const SyncStrategy& rsync = TwoSides::named("rsync");
  EXPECT_THROW(rsync.unmet_requirements(Options(rsync.info().options, {{"block", "131073B"}})),
               std::invalid_argument);
}

TEST(RsyncStats, AreReadWithPlainNumbersAlone) {
  const std::string text = "Literal data: 2,555 bytes\nMatched data: 10 bytes\n";
  EXPECT_FALSE(rsync::parse_stats(text));
  const auto stats = rsync::parse_stats("x\nLiteral data: 2555 bytes\nMatched data: 0 bytes\n");
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->literal_bytes, 2555u);
  EXPECT_EQ(stats->matched_bytes, 0u);
  for (const char* broken : {"", "Literal data: ", "Literal data: 5 bytes\n",
                             "Literal data: -5 bytes\nMatched data: 1 bytes",
                             "Literal data: 99999999999999999999 bytes\nMatched data: 1 bytes"})
    EXPECT_FALSE(rsync::parse_stats(broken)) << broken;
}

}  // namespace
}  // namespace memsync
