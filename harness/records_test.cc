// Rows, results directories, samples and the control channel.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/campaign_files.h"
#include "harness/columns.h"
#include "harness/control_channel.h"
#include "harness/environment.h"
#include "harness/results_directory.h"
#include "harness/samples.h"
#include "harness/sha256.h"

namespace memsync {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

TEST(Row, LeavesEmptyWhatWasNotMeasured) {
  Row row;
  row.set("cell_id", "a,b\"c");
  row.set("open_s", std::nan(""));
  row.set("payload_B", std::optional<uint64_t>{});
  const auto records = parse_csv(csv_header() + row.csv());
  ASSERT_EQ(records.size(), 2u);
  ASSERT_EQ(records[0].size(), records[1].size());
  for (size_t i = 0; i < records[0].size(); ++i)
    EXPECT_EQ(records[1][i], records[0][i] == "cell_id" ? "a,b\"c" : "") << records[0][i];
}

TEST(Row, KeepsNineDigitsOfANumber) {
  Row row;
  row.set("open_s", 0.0251234567);
  EXPECT_EQ(row.get("open_s"), "0.0251234567");
}

TEST(Columns, AreNamedOnceAndDescribed) {
  std::set<std::string_view> names;
  for (const Column& column : columns()) {
    EXPECT_TRUE(names.insert(column.name).second) << column.name;
    EXPECT_FALSE(column.description.empty()) << column.name;
    EXPECT_THAT((std::set<std::string_view>{"string", "integer", "number", "boolean"}),
                testing::Contains(column.type));
  }
}

TEST(Csv, LeavesOutATornLastLine) {
  const auto records = parse_csv("a,b\n1,\"x\ny\"\n2,torn");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1], (std::vector<std::string>{"1", "x\ny"}));
}

class Results : public testing::Test {
 protected:
  Results()
      : folder_(fs::temp_directory_path() /
                ("memsync-results-test-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~Results() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  fs::path folder_;
};

Row row_named(const std::string& run_id) {
  Row row;
  row.set("run_id", run_id);
  row.set("status", "ok");
  return row;
}

TEST_F(Results, AreNeverOverwritten) {
  {
    ResultsDirectory::create(path("one")).append(row_named("r1"));
  }
  EXPECT_THROW(ResultsDirectory::create(path("one")), std::invalid_argument);
}

TEST_F(Results, OfTheSameSecondGetNamesOfTheirOwn) {
  const auto first = ResultsDirectory::create_unique(folder_.string(), "name");
  const auto second = ResultsDirectory::create_unique(folder_.string(), "name");
  EXPECT_NE(first.path(), second.path());
}

TEST_F(Results, ATornRowIsCutOffWhenTheyAreReopened) {
  {
    auto directory = ResultsDirectory::create(path("torn"));
    directory.append(row_named("r1"));
    directory.write_file("manifest.json", "{}");
    std::ofstream(directory.file("runs.csv"), std::ios::app) << "half a row, no newl";
  }
  auto directory = ResultsDirectory::reopen(path("torn"));
  directory.append(row_named("r2"));
  const auto rows = directory.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].get("run_id"), "r1");
  EXPECT_EQ(rows[1].get("run_id"), "r2");
}

TEST_F(Results, AreToldByTheDigestsOfTheFilesThatAreThere) {
  auto directory = ResultsDirectory::create(path("told"));
  directory.write_file("plan.csv", "abc");
  directory.write_file("manifest.json", "{}");
  const auto digests = file_digests(directory);
  EXPECT_EQ(digests.size(), 2u) << digests;
  // FIPS 180-2, appendix B.1
  EXPECT_EQ(digests.at("plan.csv"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digests.at("runs.csv"), sha256_hex(csv_header()));
}

TEST_F(Results, HaveOneWriterAtATime) {
  auto directory = ResultsDirectory::create(path("busy"));
  directory.write_file("manifest.json", "{}");
  EXPECT_THROW(ResultsDirectory::reopen(path("busy")), std::runtime_error);
}

TEST_F(Results, OnAFullDiskSayWhereAndKeepTheRowsBefore) {
  if (::mount("none", folder_.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "needs root to mount a small tmpfs";
  {
    auto directory = ResultsDirectory::create(path("full"));
    uint64_t kept = 0;
    try {
      for (; kept < 10'000; ++kept) directory.append(row_named("r" + std::to_string(kept)));
      ADD_FAILURE() << "64 KiB held 10000 rows";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ENOSPC);
      EXPECT_THAT(error.what(), testing::HasSubstr("runs.csv"));
    }
    EXPECT_GT(kept, 0u);
    EXPECT_EQ(directory.rows().size(), kept);
  }
  ::umount(folder_.c_str());
}

TEST(Latencies, AreOrderStatistics) {
  std::vector<uint32_t> samples;
  for (uint32_t i = 200; i >= 1; --i) samples.push_back(i * 1000);
  const auto summary = summarize_latencies(samples);
  EXPECT_DOUBLE_EQ(summary["p50_s"], 100e-6);
  EXPECT_DOUBLE_EQ(summary["p99_s"], 198e-6);
  EXPECT_DOUBLE_EQ(summary["max_s"], 200e-6);
}

TEST(Latencies, MayBeMinutes) {
  const std::vector<uint64_t> samples{60'000'000'000};
  EXPECT_DOUBLE_EQ(summarize_latencies(samples)["max_s"], 60);
}

TEST(Latencies, OfFewSamplesHaveNoTail) {
  using Samples = std::vector<uint32_t>;
  EXPECT_FALSE(summarize_latencies(Samples{1, 2, 3}).contains("p99_s"));
  EXPECT_FALSE(summarize_latencies(Samples{}).contains("p50_s"));
}

class Channel : public testing::Test {
 protected:
  Channel() : Channel(FileDescriptor::socket_pair()) {}
  explicit Channel(std::pair<FileDescriptor, FileDescriptor> ends)
      : ours_(std::move(ends.first)), theirs_(std::move(ends.second)) {}
  void say(const std::string& bytes) {
    write_all(theirs_.get(), bytes.data(), bytes.size(), "the test's bytes");
  }
  int error_of(Nanoseconds wait = 5s) {
    try {
      ours_.receive(after(wait));
    } catch (const std::system_error& error) {
      return error.code().value();
    }
    return 0;
  }
  ControlChannel ours_;
  FileDescriptor theirs_;
};

TEST_F(Channel, CarriesMessagesBothWays) {
  ControlChannel peer(theirs_.duplicate());
  ours_.send({{"do", "hello"}, {"text", std::string(100'000, 'x')}});
  EXPECT_EQ(peer.receive(after(5s)).value()["do"], "hello");
  peer.send({{"ok", true}});
  EXPECT_EQ(ours_.receive(after(5s)).value()["ok"], true);
}

TEST_F(Channel, TellsAnEndFromATornMessage) {
  say(std::string("\x10\0\0\0{\"half\":", 12));
  theirs_ = FileDescriptor{};
  EXPECT_EQ(error_of(), ECONNRESET);
}

TEST_F(Channel, ClosedBetweenMessagesGivesNothing) {
  theirs_ = FileDescriptor{};
  EXPECT_EQ(ours_.receive(after(5s)), std::nullopt);
}

TEST_F(Channel, RefusesALengthBeforeItAllocates) {
  say("\xff\xff\xff\xff");
  EXPECT_EQ(error_of(), EBADMSG);
}

TEST_F(Channel, RefusesWhatIsNoObject) {
  say(std::string("\x04\0\0\0nope", 8));
  EXPECT_EQ(error_of(), EBADMSG);
}

TEST_F(Channel, WaitsNoLongerThanItsDeadline) {
  say(std::string("\x10\0\0\0", 4));
  EXPECT_EQ(error_of(10ms), ETIMEDOUT);
}

}  // namespace
}  // namespace memsync
