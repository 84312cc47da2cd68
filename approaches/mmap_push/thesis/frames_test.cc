// Frames: the bytes of the thesis's programs, and what no decoder takes.
#include "approaches/mmap_push/thesis/frames.h"

#include <cstring>
#include <limits>

#include "approaches/mmap_push/thesis/block_hashes.h"
#include "approaches/mmap_push/thesis/test_support.h"

namespace memsync::mmap_push::thesis {
namespace {

using test::error_of;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}
// The JSON of a frame, and that its length is told rightly.
std::span<const std::byte> json_of(std::span<const std::byte> frame) {
  EXPECT_EQ(decode_length(frame.first<4>(), 1U << 20), frame.size() - 4);
  return frame.subspan(4);
}

TEST(ThesisFrames, AreThoseOfTheThesisByteByByte) {
  const std::array<BlockHash, 2> hashes{0, 0xc71c0011};
  EXPECT_EQ(text_of(encode_hashes(hashes)),
            std::string("\x17\0\0\0[\"00000000\",\"c71c0011\"]", 27));
  EXPECT_EQ(text_of(encode_hashes({})), std::string("\2\0\0\0[]", 6));
  const std::array<uint64_t, 3> indexes{0, 7, 262143};
  EXPECT_EQ(text_of(encode_indexes(indexes)), std::string("\x0c\0\0\0[0,7,262143]", 16));
  EXPECT_EQ(text_of(encode_cutoff(0)), std::string("\1\0\0\0"
                                                   "0",
                                                   5));
  EXPECT_EQ(text_of(encode_cutoff(96)), std::string("\2\0\0\0"
                                                    "96",
                                                    6));
  EXPECT_EQ(text_of(encode_cutoff(std::nullopt)), std::string("\2\0\0\0-1", 6));
  EXPECT_EQ(text_of(encode_text("src-control")), std::string("\x0d\0\0\0\"src-control\"", 17));
  EXPECT_EQ(text_of(encode_text("dst")), std::string("\5\0\0\0\"dst\"", 9));
}

TEST(ThesisFrames, HashesAreCrc32IeeeWithTheHighestDigitFirst) {
  EXPECT_EQ(crc32_of(bytes_of("123456789")), 0xcbf43926U);
  EXPECT_EQ(crc32_of({}), 0U);
  const std::vector<std::byte> zeros(4096);
  EXPECT_EQ(crc32_of(zeros), 0xc71c0011U);
  const std::array<BlockHash, 1> hashes{0x0badcafe};
  EXPECT_EQ(text_of(json_of(encode_hashes(hashes))), R"(["0badcafe"])");
}

TEST(ThesisFrames, AreReadAsTheyWereWritten) {
  const std::vector<BlockHash> hashes{0, 1, 0xffffffff, 0xcbf43926};
  const auto hash_frame = encode_hashes(hashes);
  EXPECT_EQ(decode_hashes(json_of(hash_frame), 4), hashes);
  const std::vector<uint64_t> indexes{0, 3, 99};
  const auto index_frame = encode_indexes(indexes);
  EXPECT_EQ(decode_indexes(json_of(index_frame), 100), indexes);
  for (const Cutoff cutoff : {Cutoff{0}, Cutoff{4095}, Cutoff{}})
    EXPECT_EQ(decode_cutoff(json_of(encode_cutoff(cutoff)), 4096), cutoff);
  const auto name = encode_text("a/\"b\"\n");
  EXPECT_EQ(decode_text(json_of(name)), "a/\"b\"\n");
}

TEST(ThesisFrames, OfOtherWritersMayHaveSpacesAndEscapes) {
  EXPECT_EQ(decode_hashes(bytes_of(R"( [ "0000000a" , "\u0030000000b" ] )"), 2),
            (std::vector<BlockHash>{10, 11}));
  EXPECT_EQ(decode_indexes(bytes_of("[0, 2]\n"), 3), (std::vector<uint64_t>{0, 2}));
  EXPECT_EQ(decode_text(bytes_of(R"("a\u0026b")")), "a&b");
}

TEST(ThesisFrames, OfTheLargestFileFitTheirLimit) {
  const std::vector<BlockHash> hashes(1000, 0xffffffff);
  EXPECT_LE(encode_hashes(hashes).size() - 4, frame_limit(1000));
  EXPECT_LE(encode_cutoff(kBlockBytesMax - 1).size() - 4, frame_limit(0));
  EXPECT_EQ(frame_limit(std::numeric_limits<uint64_t>::max()),
            static_cast<size_t>(std::numeric_limits<int32_t>::max()));
}

TEST(ThesisFrames, WithALengthOutsideTheLimitAreRefused) {  // xF5
  const auto refused = [](int64_t length) {
    std::array<std::byte, 4> bytes;
    std::memcpy(bytes.data(), &length, 4);
    return error_of([&] { decode_length(bytes, 100); });
  };
  EXPECT_EQ(refused(1), 0);
  EXPECT_EQ(refused(100), 0);
  for (const int64_t length : {int64_t{0}, int64_t{-1}, int64_t{101}, (int64_t{1} << 31) - 1,
                               int64_t{1} << 31, -(int64_t{1} << 31)})
    EXPECT_EQ(refused(length), EPROTO) << length;
}

TEST(ThesisFrames, ThatAreNoListOfHashesAreRefused) {
  for (const char* json : {"",
                           "null",
                           "7",
                           "\"00000000\"",
                           "{}",
                           "[",
                           "[]]",
                           "[] []",
                           "[7]",
                           "[null]",
                           "[[]]",
                           "[{}]",
                           R"({"a":["00000000"]})",
                           R"(["0000000"])",
                           R"(["000000000"])",
                           R"(["0000000g"])",
                           R"(["0000000A"])",
                           R"(["-0000001"])",
                           R"(["0x000001"])",
                           R"(["        "])",
                           R"([""])",
                           R"(["00000000",])",
                           R"(["00000000" "00000000"])",
                           "[\"0000\xff"
                           "000\"]",
                           R"(["00000000","00000000","00000000"])"})
    EXPECT_EQ(error_of([&] { decode_hashes(bytes_of(json), 2); }), EPROTO) << json;
}

TEST(ThesisFrames, ThatAreNoListOfBlocksAreRefused) {
  for (const char* json :
       {"", "null", "0", "{}", "[\"0\"]", "[0.0]", "[1e0]", "[true]", "[[0]]", "[-1]", "[10]",
        "[1,1]", "[2,1]", "[9223372036854775807]", "[9223372036854775808]",
        "[18446744073709551616]", "[-9223372036854775808]", "[0"})
    EXPECT_EQ(error_of([&] { decode_indexes(bytes_of(json), 10); }), EPROTO) << json;
}

TEST(ThesisFrames, ThatAreNoCutoffAreRefused) {
  for (const char* json : {"", "null", "\"0\"", "0.0", "[0]", "[[[[", "{}", "-2", "4096",
                           "9223372036854775808", "-9223372036854775808", "1 2"})
    EXPECT_EQ(error_of([&] { decode_cutoff(bytes_of(json), 4096); }), EPROTO) << json;
  for (const char* json : {"7", "[\"a\"]", "\"a", "null", ""})
    EXPECT_EQ(error_of([&] { decode_text(bytes_of(json)); }), EPROTO) << json;
}

TEST(ThesisFrames, OfAMillionBracketsCostNoStack) {
  const std::string brackets(1U << 20, '[');
  EXPECT_EQ(error_of([&] { decode_hashes(bytes_of(brackets), 10); }), EPROTO);
  EXPECT_EQ(error_of([&] { decode_indexes(bytes_of(brackets), 10); }), EPROTO);
  EXPECT_EQ(error_of([&] { decode_cutoff(bytes_of(brackets), 10); }), EPROTO);
}

TEST(ThesisFrames, OfANameThatIsNoUtf8AreNotMade) {
  EXPECT_THROW(encode_text("\xff"), std::invalid_argument);
}

}  // namespace
}  // namespace memsync::mmap_push::thesis
