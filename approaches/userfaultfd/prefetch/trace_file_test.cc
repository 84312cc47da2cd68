// Traces on disk are foreign bytes: read whole, or refused with a sentence.
#include "approaches/userfaultfd/prefetch/trace_file.h"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace memsync::userfaultfd {
namespace {

constexpr TraceShape kShape{.region_bytes = 100'000, .unit_bytes = 4096};  // 25 units
const std::vector<UnitIndex> kTouches{24, 0, 7};

std::string refusal(std::span<const std::byte> bytes, const TraceShape& shape = kShape) {
  try {
    decode_trace(bytes, shape);
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "";
}

// The trace with its 64-bit word number `word` replaced.
std::vector<std::byte> with_word(size_t word, uint64_t value) {
  auto bytes = encode_trace(kShape, kTouches);
  std::memcpy(bytes.data() + 8 * word, &value, sizeof value);
  return bytes;
}

TEST(TraceFile, GivesBackTheOrderThatWasWritten) {
  EXPECT_EQ(decode_trace(encode_trace(kShape, kTouches), kShape), kTouches);
}

TEST(TraceFile, OfSomethingElseIsRefusedWithTheReason) {
  const std::vector<std::pair<std::vector<std::byte>, std::string>> cases{
      {{}, "too short"},
      {with_word(0, 1), "no trace"},
      {with_word(1, 2), "of version 2"},
      {with_word(2, 100'001), "a region of 100001 bytes, and this has 100000"},
      {with_word(3, 65536), "units of 65536 bytes, and these have 4096"},
      {with_word(4, 0), "names 0 units"},
      {with_word(4, 26), "names 26 units of 25"},
      {with_word(4, UINT64_MAX), "names 18446744073709551615 units"},
      {with_word(4, 2), "not as long as it says"},
      {with_word(5, 1), "have changed"},
      {with_word(6, 3), "have changed"},
      {encode_trace(kShape, std::vector<UnitIndex>{25}), "beyond the region"},
      {encode_trace(kShape, std::vector<UnitIndex>{UINT64_MAX}), "beyond the region"},
      {encode_trace(kShape, std::vector<UnitIndex>{3, 4, 3}), "unit 3 twice"},
  };
  for (const auto& [bytes, reason] : cases)
    EXPECT_NE(refusal(bytes).find(reason), std::string::npos)
        << reason << " / got: " << refusal(bytes);
}

TEST(TraceFile, OfAnyOtherLengthIsRefused) {
  auto bytes = encode_trace(kShape, kTouches);
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_NE(refusal(std::span(bytes).first(length)), "") << length;
  bytes.push_back(std::byte{0});
  EXPECT_NE(refusal(bytes), "");
}

class TraceOnDisk : public testing::Test {
 protected:
  TraceOnDisk() { std::filesystem::create_directories(folder_); }
  ~TraceOnDisk() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return (folder_ / "touches.trace").string(); }
  std::string reading_refused() const {
    try {
      read_trace(path(), kShape);
    } catch (const std::invalid_argument& problem) {
      return problem.what();
    }
    return "";
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      ("memsync-trace-" + std::to_string(::getpid()) + "-" +
       testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(TraceOnDisk, IsThereWholeOnceItWasWritten) {
  EXPECT_EQ(read_trace(path(), kShape), std::nullopt);
  write_trace(path(), kShape, kTouches);
  EXPECT_EQ(read_trace(path(), kShape), kTouches);
  write_trace(path(), kShape, std::vector<UnitIndex>{1});
  EXPECT_EQ(read_trace(path(), kShape), (std::vector<UnitIndex>{1}));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "a draft stayed";
}

TEST_F(TraceOnDisk, LeavesNoDraftWhereItCannotBeWritten) {
  std::filesystem::create_directories(path());  // a folder is in the way of the rename
  EXPECT_THROW(write_trace(path(), kShape, kTouches), std::system_error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

// As on a full disk, whose limit here is the process's own.
TEST_F(TraceOnDisk, LeavesTheOldOneAndNoDraftWhenTheDiskIsFull) {
  write_trace(path(), kShape, kTouches);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{.rlim_cur = 50, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_THROW(write_trace(path(), kShape, std::vector<UnitIndex>{1}), std::system_error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_trace(path(), kShape), kTouches);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(TraceOnDisk, IsNamedWhenItIsRefused) {
  std::ofstream(path()) << "not a trace, and long enough to have a header of forty-eight bytes";
  EXPECT_NE(reading_refused().find(path() + ": it is no trace"), std::string::npos);
}

TEST_F(TraceOnDisk, IsNotReadBeyondWhatARegionsTraceCanHold) {
  std::ofstream(path()).close();
  std::filesystem::resize_file(path(), uint64_t{1} << 40);  // sparse
  EXPECT_NE(reading_refused().find("no regular file of at most 248 bytes"), std::string::npos);
  std::filesystem::remove(path());
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  EXPECT_NE(reading_refused().find("no regular file"), std::string::npos);
}

}  // namespace
}  // namespace memsync::userfaultfd
