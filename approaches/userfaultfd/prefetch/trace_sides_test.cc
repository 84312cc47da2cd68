// A trace from one session to the next: both sides over the native transport, a directory to keep.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdexcept>
#include <unistd.h>

#include "approaches/userfaultfd/sides.h"
#include "lib/backend/stores.h"
#include "lib/region/content.h"

namespace memsync::userfaultfd {
namespace {

constexpr uint64_t kSeed = 3;
constexpr uint64_t kSize = (8 << 20) + 77;
constexpr uint64_t kUnit = 64 << 10;
using Given = std::map<std::string, std::string>;

class KeptTrace : public testing::Test {
 protected:
  KeptTrace() { std::filesystem::create_directories(kept_); }
  ~KeptTrace() override { std::filesystem::remove_all(folder_); }

  // What the destination's statistics say after touching `units` in a session of its own.
  Statistics session(const Given& given, const std::vector<UnitIndex>& units,
                     const Priority& priority = {}) {
    const auto source_network = make_unix_network("source", folder_.string());
    const auto destination_network = make_unix_network("destination0", folder_.string());
    SideSetup at_source = setup(*source_network);
    fill_content(ContentKind::random, kSeed, at_source.store->mapping(), 0);
    SourceSide source(std::move(at_source), Settings{});
    const Options options(option_specs(), given);
    SideSetup at_destination = setup(*destination_network);
    at_destination.options = &options;
    at_destination.keep_dir = keeps_ ? kept_.string() : "";
    DestinationSide destination(std::move(at_destination), settings_from(options), priority);
    for (const UnitIndex unit : units) {
      std::byte expected;
      fill_content(ContentKind::random, kSeed, {&expected, 1}, unit * kUnit);
      EXPECT_EQ(destination.region().memory[unit * kUnit], expected);
    }
    return destination.statistics();
  }
  std::string refusal(const Given& given) {
    try {
      session(given, {0});
    } catch (const std::invalid_argument& problem) {
      return problem.what();
    }
    return "";
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      ("memsync-kept-" + std::to_string(::getpid()) + "-" +
       testing::UnitTest::GetInstance()->current_test_info()->name());
  const std::filesystem::path kept_ = folder_ / "kept";
  bool keeps_ = true;

 private:
  static SideSetup setup(Network& network) {
    SideSetup result;
    result.geometry = {.size_bytes = kSize, .chunk_bytes = 4096};
    result.region.epoch = 1;
    result.store = std::make_unique<MemoryBackend>(kSize);
    result.network = &network;
    result.transport = &native_transport();
    return result;
  }
};

const std::vector<UnitIndex> kTouched{100, 2, 57, 128, 31, 0};
const Given kTrace{{"prefetch", "trace"}};

TEST_F(KeptTrace, IsRecordedInTheFirstSessionAndReplayedInTheNext) {
  const Statistics first = session(kTrace, kTouched);
  EXPECT_EQ(first.trace, TraceUse::recorded);
  EXPECT_EQ(first.faults, kTouched.size());
  const Statistics second = session(kTrace, kTouched);
  EXPECT_EQ(second.trace, TraceUse::replayed);
  EXPECT_EQ(second.faults, 0u);
  const Statistics third = session(kTrace, {5, 100});  // a replay records nothing
  EXPECT_EQ(third.faults, 1u);
  EXPECT_EQ(session(kTrace, kTouched).faults, 0u);
}

TEST_F(KeptTrace, LiesWhereItsPathSays) {
  keeps_ = false;
  const std::string path = (folder_ / "mine").string();
  const Given given{{"prefetch", "trace"}, {"trace", path}};
  EXPECT_EQ(session(given, kTouched).trace, TraceUse::recorded);
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(session(given, kTouched).faults, 0u);
}

TEST_F(KeptTrace, IsNotMadeByASessionThatTouchesNothing) {
  EXPECT_EQ(session(kTrace, {}).trace, TraceUse::recorded);
  EXPECT_TRUE(std::filesystem::is_empty(kept_));
}

TEST_F(KeptTrace, OfOtherUnitsOrAnythingElseIsRefused) {
  session(kTrace, kTouched);
  EXPECT_NE(refusal({{"prefetch", "trace"}, {"unit", "4KiB"}}).find("units of 65536 bytes"),
            std::string::npos);
  std::ofstream(kept_ / "other.trace") << "hello";
  EXPECT_NE(refusal({{"prefetch", "trace"}, {"trace", "other"}}).find("too short"),
            std::string::npos);
}

TEST_F(KeptTrace, OfANameNeedsADirectory) {
  keeps_ = false;
  EXPECT_NE(refusal(kTrace).find("a path with a slash"), std::string::npos);
}

TEST_F(KeptTrace, IsNoConcernOfOtherPolicies) {
  EXPECT_EQ(session({{"prefetch", "trend"}}, kTouched).trace, std::nullopt);
  EXPECT_TRUE(std::filesystem::is_empty(kept_));
}

TEST_F(KeptTrace, IsNoConcernOfAPriorityWhoseUnitsAreHereAtOpen) {
  const Statistics listed =
      session({{"prefetch", "priority"}, {"first", "6MiB+64KiB;0+1B"}}, {96, 0});
  EXPECT_EQ(listed.faults, 0u);
  EXPECT_EQ(listed.payload_received, 2 * kUnit);
  EXPECT_NE(refusal({{"prefetch", "priority"}, {"first", "9MiB+1B"}}).find("leave the region"),
            std::string::npos);
  const Priority odd = [](UnitIndex unit) { return static_cast<int64_t>(unit % 2); };
  EXPECT_EQ(session({{"prefetch", "priority"}, {"first", "0+1B"}}, {1, 3, 127}, odd).faults, 0u);
}

}  // namespace
}  // namespace memsync::userfaultfd
