// The rows of the original's known defects that concern this protocol, one test each: xF1 to xF4,
// xF6, xF7, xF10 (xF5 is in frames_test.cc and hostile_test.cc; xF8 and xF9 concern the hub and its
// loops).
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "approaches/mmap_push/thesis/block_hashes.h"
#include "approaches/mmap_push/thesis/test_support.h"
#include "lib/os/error.h"

namespace memsync::mmap_push::thesis::test {
namespace {

namespace fs = std::filesystem;

using ThesisDefects = TwoFiles;

TEST_F(ThesisDefects, XF1AChangeInTheMiddleNeverCutsTheReceivedFile) {
  std::string bytes = random_bytes(1, 41'060);
  write_file(source_path(), bytes);
  sync_once(small_blocks());
  bytes[4096 + 5] ^= 1;
  write_file(source_path(), bytes);
  // The received file's size at each moment that a read of the receiver ends.
  uint64_t smallest = bytes.size();
  auto [ours, theirs] = connection();
  auto watched = std::make_unique<HookedStream>(std::move(theirs), nullptr, [&](auto) {
    smallest = std::min<uint64_t>(smallest, fs::file_size(received_path()));
  });
  {
    Receiving receiving(std::move(watched), received_file(), small_blocks());
    ThesisSource source(std::move(ours), source_file(), small_blocks());
    const auto report = source.round(soon());
    EXPECT_EQ(report.chunks_moved, 2U);
    EXPECT_EQ(report.payload_bytes, 4096U + 100);
  }
  EXPECT_EQ(smallest, bytes.size());
  EXPECT_EQ(read_file(received_path()), bytes);
}

TEST_F(ThesisDefects, XF2ShrinkingByWholeBlocksReachesTheReceiver) {
  write_file(source_path(), random_bytes(1, 8192));
  sync_once(small_blocks());
  fs::resize_file(source_path(), 4096);
  EXPECT_EQ(sync_once(small_blocks()).chunks_moved, 1U);
  EXPECT_EQ(fs::file_size(received_path()), 4096U);
  EXPECT_TRUE(files_are_equal());
  fs::resize_file(source_path(), 0);
  EXPECT_EQ(sync_once(small_blocks()).chunks_moved, 0U);
  EXPECT_EQ(fs::file_size(received_path()), 0U);
}

// XOR of a block's bytes with the polynomial itself (33 bits, in the order of a reflected CRC)
// changes five bytes and no CRC32: this wire can't tell the difference, so it is not corrected.
TEST_F(ThesisDefects, XF3AChangeWithTheSameCrc32IsMissedForEver) {
  std::string bytes = random_bytes(1, 8192);
  write_file(source_path(), bytes);
  sync_once(small_blocks());
  const uint64_t pattern = 1 | (uint64_t{0xedb88320} << 1);  // x^32 first
  for (size_t i = 0; i < 5; ++i)
    bytes[100 + i] = static_cast<char>(bytes[100 + i] ^ static_cast<char>(pattern >> (8 * i)));
  const auto before = read_file(source_path());
  ASSERT_NE(before, bytes);
  ASSERT_EQ(crc32_of(std::as_bytes(std::span(before)).first(4096)),
            crc32_of(std::as_bytes(std::span(bytes)).first(4096)));
  write_file(source_path(), bytes);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sync_once(small_blocks()).chunks_moved, 0U);
  EXPECT_EQ(read_file(received_path()), before);
}

TEST_F(ThesisDefects, XF4AChangeBetweenHashingAndSendingIsSentOrFound) {
  std::string bytes = random_bytes(1, 8 * 4096);
  write_file(source_path(), bytes);
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  int writes = 0;
  ThesisSource source(std::make_unique<HookedStream>(
                          std::move(ours),
                          [&](auto) {
                            // The first write of the second round: its blocks are chosen, not read.
                            if (++writes != 4) return;
                            bytes[2 * 4096] ^= 2;  // chosen
                            bytes[5 * 4096] ^= 2;  // not chosen
                            write_file(source_path(), bytes);
                          },
                          nullptr),
                      source_file(), small_blocks());
  source.round(soon());
  ASSERT_EQ(writes, 3);
  std::string between = bytes;
  between[2 * 4096] ^= 1;
  write_file(source_path(), between);
  bytes = between;
  EXPECT_EQ(source.round(soon()).chunks_moved, 2U);
  // One as it became, the other as it was: both true at some moment of the round.
  auto received = read_file(received_path());
  EXPECT_EQ(received[2 * 4096], bytes[2 * 4096]);
  EXPECT_EQ(received[5 * 4096], between[5 * 4096]);
  EXPECT_EQ(source.round(soon()).chunks_moved, 2U);
  EXPECT_EQ(read_file(received_path()), bytes);
}

TEST_F(ThesisDefects, XF4AFileThatShrinksUnderTheAnswerIsEqualAfterTheRound) {
  for (const size_t left : {size_t{0}, size_t{4096}, size_t{5000}}) {
    write_file(source_path(), random_bytes(1, 8 * 4096));
    fs::remove(received_path());
    auto [ours, theirs] = connection();
    Receiving receiving(std::move(theirs), received_file(), small_blocks());
    int writes = 0;
    ThesisSource source(std::make_unique<HookedStream>(
                            std::move(ours),
                            [&](auto) {
                              if (++writes == 1) fs::resize_file(source_path(), left);
                            },
                            nullptr),
                        source_file(), small_blocks());
    source.round(soon());
    EXPECT_EQ(fs::file_size(received_path()), left);
    EXPECT_TRUE(files_are_equal());
  }
}

TEST_F(ThesisDefects, XF4AFileThatNeverStopsShrinkingEndsTheRoundAndIsEqualAfterTheNext) {
  write_file(source_path(), random_bytes(1, 64 * 4096));
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  bool is_shrinking = true;
  ThesisSource source(std::make_unique<HookedStream>(
                          std::move(ours),
                          [&](auto) {
                            if (is_shrinking)
                              fs::resize_file(source_path(), fs::file_size(source_path()) - 1);
                          },
                          nullptr),
                      source_file(), small_blocks());
  source.round(soon());
  is_shrinking = false;
  source.round(soon());
  EXPECT_TRUE(files_are_equal());
}

TEST_F(ThesisDefects, XF4ABlockDamagedOnItsWayIsFoundWithinTheRound) {
  write_file(source_path(), random_bytes(1, 8 * 4096));
  auto [ours, theirs] = connection();
  bool is_damaged = false;
  auto damaging =
      std::make_unique<HookedStream>(std::move(theirs), nullptr, [&](std::span<const iovec> got) {
        if (got[0].iov_len < 1000 || is_damaged) return;  // a list or a cutoff
        static_cast<char*>(got[0].iov_base)[500] ^= 4;
        is_damaged = true;
      });
  Receiving receiving(std::move(damaging), received_file(), small_blocks());
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  const auto report = source.round(soon());
  EXPECT_TRUE(is_damaged);
  EXPECT_GT(report.chunks_moved, 8U);
  EXPECT_TRUE(files_are_equal());
}

TEST_F(ThesisDefects, XF4AReceiverThatNeverAgreesEndsTheRoundAtItsDeadline) {
  write_file(source_path(), random_bytes(1, 8 * 4096));
  auto [ours, theirs] = connection();
  auto damaging =
      std::make_unique<HookedStream>(std::move(theirs), nullptr, [](std::span<const iovec> got) {
        if (got[0].iov_len >= 1000) static_cast<char*>(got[0].iov_base)[500] ^= 4;
      });
  Receiving receiving(std::move(damaging), received_file(), small_blocks());
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  EXPECT_EQ(error_of([&] { source.round(after(milliseconds(200))); }), ETIMEDOUT);
}

TEST_F(ThesisDefects, XF6ASourceThatIsGoneIsAnErrorAndCutsNothing) {
  const std::string bytes = random_bytes(1, 8192);
  write_file(source_path(), bytes);
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  source.round(soon());
  fs::rename(source_path(), folder() + "/away");
  EXPECT_EQ(error_of([&] { source.round(soon()); }), ENOENT);
  EXPECT_EQ(error_of([&] { source.round(soon()); }), ENOENT);
  EXPECT_EQ(read_file(received_path()), bytes);
  // What has no size of its own is not taken for an empty file either.
  ASSERT_EQ(::mkfifo(source_path().c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { source.round(soon()); }), EINVAL);
  fs::remove(source_path());
  fs::create_directory(source_path());
  EXPECT_EQ(error_of([&] { source.round(soon()); }), EINVAL);
  fs::remove(source_path());
  write_file(source_path(), random_bytes(1, (1U << 20) + 1));
  EXPECT_EQ(error_of([&] { source.round(soon()); }), EFBIG);
  EXPECT_EQ(read_file(received_path()), bytes);

  fs::rename(folder() + "/away", source_path());
  EXPECT_EQ(source.round(soon()).chunks_moved, 0U);
}

size_t open_descriptors() {
  return static_cast<size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), {}));
}

TEST_F(ThesisDefects, XF7FailingRoundsLeaveNoDescriptorOpen) {
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  write_file(source_path(), "abc");
  source.round(soon());
  fs::remove(source_path());
  fs::create_directory(source_path());
  const size_t before = open_descriptors();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(error_of([&] { source.round(soon()); }), EINVAL);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ThesisDefects, XF10AFileRenamedOverTheSourceIsTheOneThatIsSent) {
  write_file(source_path(), random_bytes(1, 8192));
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  source.round(soon());
  const std::string other = random_bytes(2, 9000);
  write_file(folder() + "/new", other);
  fs::rename(folder() + "/new", source_path());
  EXPECT_EQ(source.round(soon()).chunks_moved, 3U);
  EXPECT_EQ(read_file(received_path()), other);
  EXPECT_EQ(source.round(soon()).chunks_moved, 0U);
}

TEST_F(ThesisDefects, AReceivedFileRemovedUnderTheReceiverIsMadeAnew) {
  write_file(source_path(), random_bytes(1, 8192));
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  source.round(soon());
  fs::remove(received_path());
  // The receiver's list is that of the file it still has open; its next one, within the same round,
  // shows the loss.
  source.round(soon());
  EXPECT_TRUE(files_are_equal());
}

}  // namespace
}  // namespace memsync::mmap_push::thesis::test
