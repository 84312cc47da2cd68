// The bytes of a hand-off, and what is not taken for one.
#include "approaches/userfaultfd/handoff.h"

#include <gtest/gtest.h>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/unix_socket.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;

Offer an_offer() {
  return {.start = 0x00007f1234567000,
          .length = 0x12345,
          .region_offset = 0x3000,
          .page_bytes = static_cast<uint32_t>(page_bytes()),
          .pid = 0x1122,
          .has_poison = true};
}

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  std::string digits;
  for (const char letter : text)
    if (letter != ' ') digits += letter;
  for (size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

// Sends an offer and gives what came out of the other end.
struct OnTheWire {
  std::vector<std::byte> bytes;
  std::vector<size_t> reads;  // bytes of each message
  std::vector<FileDescriptor> descriptors;
};
OnTheWire sent(const Offer& offer, Dialect dialect, const FileDescriptor& userfault) {
  auto [ours, theirs] = FileDescriptor::socket_pair();
  send_offer(ours.get(), offer, dialect, userfault);
  ours = FileDescriptor{};
  OnTheWire wire;
  std::array<std::byte, 8> piece;  // as a receiver that reads the start by itself
  while (const auto got = receive_with_descriptors(theirs.get(), piece, wire.descriptors)) {
    if (*got == 0) break;
    wire.bytes.insert(wire.bytes.end(), piece.begin(),
                      piece.begin() + static_cast<ptrdiff_t>(*got));
    wire.reads.push_back(*got);
  }
  return wire;
}

bool same_file(const FileDescriptor& one, const FileDescriptor& other) {
  return ::lseek(one.get(), 0, SEEK_END) == 4711 && ::lseek(other.get(), 0, SEEK_END) == 4711;
}

TEST(Handoff, OfOurDialectIsTheseBytesAndOneDescriptor) {
  if (page_bytes() != 4096) GTEST_SKIP() << "the golden bytes are of 4 KiB pages";
  const FileDescriptor marked = FileDescriptor::memory_file("marked", 4711);
  const OnTheWire wire = sent(an_offer(), Dialect::memsync, marked);
  EXPECT_EQ(wire.bytes, from_hex("4d53594e4355460a 0100 0100 00100000 0070563412 7f0000"
                                 "4523010000000000 0030000000000000 22110000 00000000"));
  ASSERT_EQ(wire.descriptors.size(), 1U);
  EXPECT_TRUE(same_file(wire.descriptors[0], marked));
}

TEST(Handoff, VerdictIsTheseBytes) {
  const auto bytes = encode_verdict(Verdict::wrong_process);
  EXPECT_EQ((std::vector<std::byte>(bytes.begin(), bytes.end())),
            from_hex("4d53594e43414b0a 0100 0500 00000000"));
  EXPECT_EQ(decode_verdict(bytes), Verdict::wrong_process);
}

// Defect xU8: its receiver reads eight bytes by themselves, refuses one descriptor, takes the
// second. Defect xU4: the first must not be something of the application's.
TEST(Handoff, OfTheOtherDialectIsTheStartThenOneByteWithTwoDescriptors) {
  const FileDescriptor marked = FileDescriptor::memory_file("marked", 4711);
  const OnTheWire wire = sent(an_offer(), Dialect::userfaultfd_go, marked);
  EXPECT_EQ(wire.bytes, from_hex("00007f1234567000 00"));
  EXPECT_EQ(wire.reads, (std::vector<size_t>{8, 1}));
  ASSERT_EQ(wire.descriptors.size(), 2U);
  EXPECT_TRUE(same_file(wire.descriptors[1], marked));
  std::array<char, 64> name{};
  const std::string link = "/proc/self/fd/" + std::to_string(wire.descriptors[0].get());
  ASSERT_GT(::readlink(link.c_str(), name.data(), name.size() - 1), 0);
  EXPECT_STREQ(name.data(), "anon_inode:[eventfd]");
}

TEST(Handoff, ComesBackAsItWentInBothDialects) {
  EXPECT_EQ(decode_offer(encode_offer(an_offer(), Dialect::memsync), Dialect::memsync), an_offer());
  Offer bare;
  bare.start = an_offer().start;
  EXPECT_EQ(decode_offer(encode_offer(bare, Dialect::userfaultfd_go), Dialect::userfaultfd_go),
            bare);
}

struct Bad {
  const char* what;
  size_t at;
  uint8_t value;
  Verdict verdict;
};
class BadOffer : public testing::TestWithParam<Bad> {};

TEST_P(BadOffer, IsRefusedByName) {
  auto bytes = encode_offer(an_offer(), Dialect::memsync);
  bytes[GetParam().at] = static_cast<std::byte>(GetParam().value);
  try {
    decode_offer(bytes, Dialect::memsync);
    FAIL() << GetParam().what << " was taken";
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.verdict, GetParam().verdict) << GetParam().what;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, BadOffer,
    testing::Values(Bad{"another magic", 0, 0, Verdict::malformed},
                    Bad{"another version", 8, 2, Verdict::other_version},
                    Bad{"an unknown flag", 10, 3, Verdict::malformed},
                    Bad{"pages of another size", 13, 0x40, Verdict::other_page_size},
                    Bad{"a start within a page", 16, 1, Verdict::malformed},
                    Bad{"a start outside user memory", 23, 0x80, Verdict::malformed},
                    Bad{"a length beyond all memory", 31, 0x80, Verdict::malformed},
                    Bad{"an offset within a page", 32, 1, Verdict::malformed},
                    Bad{"an offset beyond all regions", 39, 0xff, Verdict::malformed},
                    Bad{"something reserved", 44, 1, Verdict::malformed}),
    [](const auto& test) { return "byte_" + std::to_string(test.param.at); });

TEST(Handoff, WithoutALengthOrAProcessIsRefused) {
  Offer nothing = an_offer();
  nothing.length = 0;
  EXPECT_THROW(decode_offer(encode_offer(nothing, Dialect::memsync), Dialect::memsync), Refusal);
  Offer nobody = an_offer();
  nobody.pid = 0;
  EXPECT_THROW(decode_offer(encode_offer(nobody, Dialect::memsync), Dialect::memsync), Refusal);
}

// A handler's end of a connection on which a test is the application.
class Receiving : public testing::Test {
 protected:
  void send(std::span<const std::byte> bytes, size_t descriptors = 0) {
    const FileDescriptor file = FileDescriptor::memory_file("sent", 4711);
    const std::vector<int> numbers(descriptors, file.get());
    send_with_descriptors(application_.get(), bytes, numbers);
  }
  ReceivedOffer receive(Dialect dialect, Nanoseconds limit = 20s) {
    return receive_offer(handler_.get(), dialect, ending_, after(limit));
  }
  template <typename Attempt>
  static int code_of(Attempt attempt) {
    try {
      attempt();
    } catch (const std::system_error& problem) {
      return problem.code().value();
    }
    return 0;
  }
  std::pair<FileDescriptor, FileDescriptor> pair_ = FileDescriptor::socket_pair();
  FileDescriptor application_ = std::move(pair_.first);
  FileDescriptor handler_ = std::move(pair_.second);
  const FileDescriptor ending_ = FileDescriptor::event();
  const std::vector<std::byte> ours_ = encode_offer(an_offer(), Dialect::memsync);
  const std::vector<std::byte> theirs_ = encode_offer(an_offer(), Dialect::userfaultfd_go);
};

TEST_F(Receiving, TakesAnOfferThatComesByteByByte) {
  send(std::span(ours_).first(1), 1);
  for (size_t i = 1; i < ours_.size(); ++i) send(std::span(ours_).subspan(i, 1));
  const ReceivedOffer received = receive(Dialect::memsync);
  EXPECT_EQ(received.offer, an_offer());
  EXPECT_EQ(::lseek(received.userfault.get(), 0, SEEK_END), 4711);
}

TEST_F(Receiving, TakesTheLastOfOneOrTwoDescriptorsInTheOtherDialect) {
  for (const size_t count : {1U, 2U}) {
    send(std::span(theirs_).first(8));
    send(std::span(theirs_).subspan(8), count);
    EXPECT_EQ(receive(Dialect::userfaultfd_go).offer.start, an_offer().start) << count;
  }
  send(theirs_, 2);  // in one message
  EXPECT_EQ(receive(Dialect::userfaultfd_go).offer.start, an_offer().start);
}

TEST_F(Receiving, RefusesAnOfferWithoutADescriptorOrWithTooMany) {
  send(ours_);
  EXPECT_THROW(receive(Dialect::memsync), Refusal);
  send(ours_, 2);
  EXPECT_THROW(receive(Dialect::memsync), Refusal);
  send(ours_, 4);
  EXPECT_THROW(receive(Dialect::memsync), Refusal);
}

TEST_F(Receiving, KnowsAStrangerByTheFirstBytes) {
  send(theirs_, 2);
  EXPECT_THROW(receive(Dialect::memsync, 1h), Refusal) << "without waiting for more";
}

TEST_F(Receiving, EndsWithTheDeadlineTheConnectionOrTheHandler) {
  send(std::span(ours_).first(20), 1);
  EXPECT_EQ(code_of([&] { receive(Dialect::memsync, 1ms); }), ETIMEDOUT);
  signal_event(ending_);
  EXPECT_EQ(code_of([&] { receive(Dialect::memsync); }), ECANCELED);
  drain_event(ending_);
  application_ = FileDescriptor{};
  EXPECT_EQ(code_of([&] { receive(Dialect::memsync); }), ECONNRESET);
}

}  // namespace
}  // namespace memsync::userfaultfd
