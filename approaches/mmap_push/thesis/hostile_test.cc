// Peers that send what is no answer: one clear sentence, an ended connection, and the file as it
// was.
#include <cstring>
#include <filesystem>
#include <sys/resource.h>

#include "approaches/mmap_push/thesis/block_hashes.h"
#include "approaches/mmap_push/thesis/test_support.h"

namespace memsync::mmap_push::thesis::test {
namespace {

using ThesisHostile = TwoFiles;

std::string raw(int32_t length, const std::string& json = {}) {
  std::string frame(4, '\0');
  std::memcpy(frame.data(), &length, 4);
  return frame + json;
}
std::string frame(const std::string& json) {
  return raw(static_cast<int32_t>(json.size()), json);
}

void say(Stream& stream, const std::string& bytes) {
  stream.write_all(std::as_bytes(std::span(bytes)), soon());
}
bool has_ended(Stream& stream) {
  std::byte one{};
  try {
    while (true) stream.read_all({&one, 1}, soon());
  } catch (const std::system_error& error) {
    return error.code() == std::errc::connection_reset;
  }
}

TEST_F(ThesisHostile, ReceiversAreRefusedByTheSource) {
  write_file(source_path(), random_bytes(1, 8192));
  std::string too_many = "[\"00000000\"";
  for (int i = 0; i < 256; ++i) too_many += ",\"00000000\"";
  for (const std::string& sent :
       {raw(0), raw(-1), raw(0x7fffffff), raw(static_cast<int32_t>(0x80000000)), frame("{}"),
        frame("[1]"), frame("[\"0000000g\"]"), frame("null"), frame(too_many + "]"),
        frame("[\"00000000\"")}) {
    auto [ours, theirs] = connection();
    ThesisSource source(std::move(ours), source_file(), small_blocks());
    say(*theirs, sent);
    EXPECT_EQ(error_of([&] { source.round(soon()); }), EPROTO) << sent;
    EXPECT_TRUE(has_ended(*theirs)) << sent;
    EXPECT_EQ(error_of([&] { source.round(soon()); }), ECONNRESET) << sent;
  }
}

TEST_F(ThesisHostile, ReceiversThatSayNothingEndTheRoundAtItsDeadline) {
  write_file(source_path(), "abc");
  for (const std::string& sent : {std::string{}, std::string("\2\0"), raw(100, "[")}) {
    auto [ours, theirs] = connection();
    ThesisSource source(std::move(ours), source_file(), small_blocks());
    say(*theirs, sent);
    EXPECT_EQ(error_of([&] { source.round(after(milliseconds(50))); }), ETIMEDOUT);
    EXPECT_TRUE(has_ended(*theirs));
  }
}

TEST_F(ThesisHostile, ReceiversThatDoNotReadEndTheRoundAtItsDeadline) {
  write_file(source_path(), random_bytes(1, 1U << 20));
  auto [ours, theirs] = connection();
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  say(*theirs, frame("[]"));
  EXPECT_EQ(error_of([&] { source.round(after(milliseconds(50))); }), ETIMEDOUT);
}

TEST_F(ThesisHostile, SourcesAreRefusedByTheReceiver) {
  const std::string held = random_bytes(1, 8192);
  for (const std::string& sent :
       {raw(0), raw(-1), raw(0x7fffffff), raw(static_cast<int32_t>(0x80000000)), frame("{}"),
        frame("[\"0\"]"), frame("[0.5]"), frame("[-1]"), frame("[256]"),
        frame("[9223372036854775808]"), frame("[1,1]"), frame("[1,0]"), frame("[0]") + raw(0),
        frame("[0]") + frame("4096"), frame("[0]") + frame("-2"), frame("[0]") + frame("[]"),
        frame("[0]") + frame("-1"), frame("[0]") + raw(65)}) {
    write_file(received_path(), held);
    auto [ours, theirs] = connection();
    Receiving receiving(std::move(theirs), received_file(), small_blocks());
    say(*ours, sent);
    EXPECT_EQ(receiving.end(), EPROTO) << sent;
    EXPECT_TRUE(has_ended(*ours)) << sent;
    EXPECT_EQ(read_file(received_path()), held) << sent;
  }
}

TEST_F(ThesisHostile, SourcesOfAFileAboveTheLimitAreRefusedByTheReceiver) {
  Settings settings = small_blocks();
  settings.size_limit_bytes = 10'000;
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), settings);
  say(*ours, frame("[2]") + frame("0"));
  EXPECT_EQ(receiving.end(), EPROTO);
  EXPECT_EQ(std::filesystem::file_size(received_path()), 0U);
}

TEST_F(ThesisHostile, SourcesThatPauseInAnAnswerAreLeft) {
  Settings settings = small_blocks();
  settings.patience = milliseconds(50);
  for (const std::string& sent :
       {std::string("\2"), raw(2, "["), frame("[0]"), frame("[0]") + frame("0") + "some bytes"}) {
    auto [ours, theirs] = connection();
    Receiving receiving(std::move(theirs), received_file(), settings);
    say(*ours, sent);
    EXPECT_EQ(receiving.end(), ETIMEDOUT);
  }
}

TEST_F(ThesisHostile, SourcesThatLeaveInAnAnswerAreReported) {
  for (const std::string& sent :
       {std::string("\2"), raw(2, "["), frame("[0]"), frame("[0]") + frame("0") + "some bytes"}) {
    auto [ours, theirs] = connection();
    Receiving receiving(std::move(theirs), received_file(), small_blocks());
    // Read, so that the end is an end and no reset.
    std::vector<std::byte> list(4);
    ours->read_all(list, soon());
    say(*ours, sent);
    ours->shut_down();
    EXPECT_EQ(receiving.end(), ECONNRESET);
  }
}

// A limit on file sizes stands for a disk that is full: the write fails in the same place.
TEST_F(ThesisHostile, DisksThatAreFullEndTheConnectionAndANewOneConverges) {
  write_file(source_path(), random_bytes(1, 500'000));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  {
    auto [ours, theirs] = connection();
    Receiving receiving(std::move(theirs), received_file(), small_blocks());
    ThesisSource source(std::move(ours), source_file(), small_blocks());
    const rlimit full{100'000, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    EXPECT_NE(error_of([&] { source.round(soon()); }), 0);
    EXPECT_EQ(receiving.end(), EFBIG);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  sync_once(small_blocks());
  EXPECT_TRUE(files_are_equal());
}

}  // namespace
}  // namespace memsync::mmap_push::thesis::test
