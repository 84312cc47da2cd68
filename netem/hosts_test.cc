// Several hosts behind a link, and a link across which only one side may dial.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>

#include "lib/os/error.h"
#include "netem/calibration.h"
#include "netem/link.h"
#include "netem/link_test_traffic.h"

namespace memsync {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint16_t kPort = 20100;
constexpr Nanoseconds kPatience = seconds(20);

void bound_calls(const FileDescriptor& socket, int option, Nanoseconds limit) {
  timeval time{};
  time.tv_sec = std::chrono::duration_cast<seconds>(limit).count();
  time.tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(limit % seconds(1)).count();
  check(::setsockopt(socket.get(), SOL_SOCKET, option, &time, sizeof time), "a test's time limit");
}

// One host of the link, with blocking sockets of its own.
class Host {
 public:
  Host(const Link& link, const std::string& name) : host_(find(link, name)) {}

  FileDescriptor listen() const {
    FileDescriptor listener = socket();
    sockaddr_in address = address_of("0.0.0.0");
    check(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
    check(::listen(listener.get(), 8), "listen");
    bound_calls(listener, SO_RCVTIMEO, kPatience);
    return listener;
  }
  // Throws std::system_error: EINPROGRESS when nobody has answered within the limit (socket(7)).
  FileDescriptor dial(const Host& other, Nanoseconds limit = kPatience) const {
    FileDescriptor dialled = socket();
    bound_calls(dialled, SO_SNDTIMEO, limit);
    sockaddr_in address = address_of(other.host_.address);
    check(::connect(dialled.get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
          "connecting to " + other.host_.name);
    return dialled;
  }

 private:
  static LinkHost find(const Link& link, const std::string& name) {
    for (const LinkHost& host : link.hosts())
      if (host.name == name) return host;
    throw std::out_of_range("no host " + name);
  }
  static sockaddr_in address_of(const std::string& text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(kPort);
    ::inet_pton(AF_INET, text.c_str(), &address.sin_addr);
    return address;
  }
  FileDescriptor socket() const {
    FileDescriptor made;
    host_.network.run([&] {
      made = FileDescriptor{check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket")};
    });
    return made;
  }

  const LinkHost host_;
};

FileDescriptor accept(const FileDescriptor& listener) {
  return FileDescriptor{check(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept")};
}

std::error_code failure_of_dialling(const Host& host, const Host& other) {
  try {
    host.dial(other, milliseconds(400));
  } catch (const std::system_error& failure) {
    return failure.code();
  }
  return {};
}

// `bytes` from the one to the other and an answer of one byte.
void send_across(const FileDescriptor& from, const FileDescriptor& to, size_t bytes) {
  bound_calls(to, SO_RCVTIMEO, kPatience);
  bound_calls(from, SO_RCVTIMEO, kPatience);
  const std::vector<std::byte> sent(bytes, std::byte{7});
  std::vector<std::byte> received(bytes);
  std::jthread receiver([&] {
    if (::recv(to.get(), received.data(), bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes))
      static_cast<void>(!::send(to.get(), received.data(), 1, MSG_NOSIGNAL));
  });
  write_all(from.get(), sent.data(), sent.size(), "sending to another host");
  std::byte answer{};
  EXPECT_EQ(::recv(from.get(), &answer, 1, MSG_WAITALL), 1);
  receiver.join();
  EXPECT_EQ(received, sent);
}

class LinkHosts : public testing::TestWithParam<LinkEngine> {
 protected:
  void SetUp() override {
    if (const auto problem = engine_problem(GetParam()); !problem.empty()) GTEST_SKIP() << problem;
  }
  std::unique_ptr<Link> make(size_t destinations, bool has_hub = false) const {
    return make_link({.engine = GetParam(), .destinations = destinations, .has_hub = has_hub});
  }
  std::unique_ptr<Link> make_nat(size_t destinations = 1) const {
    return make_link(
        {.engine = GetParam(), .dials = Dials::destination, .destinations = destinations});
  }
};

INSTANTIATE_TEST_SUITE_P(Link, LinkHosts,
                         testing::Values(LinkEngine::none, LinkEngine::tun, LinkEngine::tc),
                         [](const auto& engine) { return std::string(engine_name(engine.param)); });

TEST_P(LinkHosts, AreNamedAndReachEachOtherAndAHub) {
  const auto link = make(3, true);
  std::vector<std::string> names;
  for (const LinkHost& host : link->hosts()) names.push_back(host.name);
  EXPECT_THAT(
      names, testing::ElementsAre("source", "destination0", "destination1", "destination2", "hub"));
  const Host source(*link, "source"), last(*link, "destination2"), hub(*link, "hub");
  const auto at_source = source.listen(), at_hub = hub.listen();
  const auto dialled = last.dial(source), beside = last.dial(hub);
  const auto accepted = accept(at_source), met = accept(at_hub);
  send_across(accepted, dialled, 100'000);
  send_across(met, beside, 100'000);
}

TEST_P(LinkHosts, AreCountedEachForItself) {
  const auto link = make(3);
  const Host source(*link, "source"), second(*link, "destination1");
  const auto listener = source.listen();
  const auto dialled = second.dial(source);
  const auto accepted = accept(listener);
  constexpr uint64_t kBytes = 4 << 20;
  send_across(accepted, dialled, kBytes);
  const auto counts = link->host_counters();
  ASSERT_EQ(counts.size(), 4u);
  const WireCounters own = link->counters();
  EXPECT_EQ(counts[0].sent_bytes, own.sent_bytes);
  EXPECT_EQ(counts[0].received_bytes, own.received_bytes);
  EXPECT_EQ(counts[1].sent_bytes + counts[1].received_bytes, 0u);
  EXPECT_EQ(counts[3].sent_bytes + counts[3].received_bytes, 0u);
  // As segments with a header each. What was lost on the way was sent and not received.
  EXPECT_GE(counts[2].received_bytes, kBytes * 1500 / 1448);
  EXPECT_LE(counts[2].received_bytes, counts[0].sent_bytes);
  EXPECT_GT(counts[2].sent_bytes, 0u);
}

TEST_P(LinkHosts, CountTheSameAtBothEndsOfALinkWithOneDestination) {
  const auto link = make(1);
  ASSERT_EQ(send_datagrams(*link, Direction::forth, 100, 1000), 100u);
  ASSERT_EQ(send_datagrams(*link, Direction::back, 50, 200), 50u);
  const auto counts = link->host_counters();
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts[0].sent_bytes, 100u * 1028);
  EXPECT_EQ(counts[1].received_bytes, 100u * 1028);
  EXPECT_EQ(counts[1].sent_bytes, 50u * 228);
  EXPECT_EQ(counts[0].received_bytes, 50u * 228);
}

TEST_P(LinkHosts, AreAtLeastOneAndNotTooMany) {
  EXPECT_THROW(make(0), std::invalid_argument);
  EXPECT_THROW(make(kDestinationsMax + 1), std::invalid_argument);
}

TEST_P(LinkHosts, AllHearNothingWhileTheLinkIsCut) {
  const auto link = make(2);
  const Host source(*link, "source"), second(*link, "destination1");
  const auto listener = source.listen();
  link->set_cut(true);
  EXPECT_EQ(failure_of_dialling(second, source), std::errc::operation_in_progress);
  link->set_cut(false);
  EXPECT_TRUE(second.dial(source).is_open());
}

TEST_P(LinkHosts, OfWhichTheSourceCanDialNoneBehindANat) {
  if (const auto problem = dials_problem(Dials::destination); !problem.empty())
    GTEST_SKIP() << problem;
  const auto link = make_nat(2);
  const Host source(*link, "source"), first(*link, "destination0"), second(*link, "destination1");
  const auto at_first = first.listen(), at_second = second.listen(), at_source = source.listen();
  EXPECT_EQ(failure_of_dialling(source, first), std::errc::operation_in_progress);
  EXPECT_EQ(failure_of_dialling(source, second), std::errc::operation_in_progress);
  // What they dial themselves carries bytes both ways.
  const auto dialled = second.dial(source);
  const auto accepted = accept(at_source);
  send_across(accepted, dialled, 1 << 20);
  send_across(dialled, accepted, 1 << 20);
  EXPECT_TRUE(first.dial(second).is_open());  // nothing is between them
}

TEST_P(LinkHosts, HearNoDatagramsThatTheyHaveNotAskedForBehindANat) {
  if (const auto problem = dials_problem(Dials::destination); !problem.empty())
    GTEST_SKIP() << problem;
  const auto link = make_nat();
  EXPECT_EQ(send_datagrams(*link, Direction::forth, 20, 100), 0u);
  EXPECT_EQ(send_datagrams(*link, Direction::back, 20, 100), 20u);
}

TEST(Dials, NeedNothingWhereEverybodyMay) {
  EXPECT_EQ(dials_problem(Dials::any), "");
}

// The line is the source's: what several take from it at once has to share it.
TEST(SeveralDestinations, ShareTheShapeOfTheLine) {
  if (const auto problem = engine_problem(LinkEngine::tun); !problem.empty())
    GTEST_SKIP() << problem;
  const auto link = make_link({.engine = LinkEngine::tun,
                               .shape = {.bits_per_second = 100'000'000, .rtt = milliseconds(10)},
                               .destinations = 3});
  Calibration result = calibrate(*link);
  if (!result.ok()) result = calibrate(*link);
  EXPECT_TRUE(result.ok()) << result.problem;
}

}  // namespace
}  // namespace memsync
