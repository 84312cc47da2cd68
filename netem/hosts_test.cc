// Several hosts behind a link, and a link across which only one side may dial.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <system_error>
#include <thread>

#include "lib/transport/network.h"
#include "netem/calibration.h"
#include "netem/link.h"
#include "netem/link_test_traffic.h"

namespace memsync {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One host of the link, as a process of that host sees the others.
class Host {
 public:
  Host(const Link& link, const std::string& name) : host_(find(link, name)) {
    std::map<std::string, std::string> addresses;
    for (const LinkHost& host : link.hosts()) addresses[host.name] = host.address;
    network_ = make_tcp_network(name, addresses);
  }
  std::unique_ptr<Listener> listen() {
    std::unique_ptr<Listener> listener;
    host_.network.run([&] { listener = network_->listen("here"); });
    return listener;
  }
  // Throws std::system_error.
  std::unique_ptr<Stream> dial(const std::string& other, Nanoseconds limit) {
    std::unique_ptr<Stream> stream;
    host_.network.run([&] { stream = network_->connect(other, "here", after(limit)); });
    return stream;
  }

 private:
  static LinkHost find(const Link& link, const std::string& name) {
    for (const LinkHost& host : link.hosts())
      if (host.name == name) return host;
    throw std::out_of_range("no host " + name);
  }

  const LinkHost host_;
  std::unique_ptr<Network> network_;
};

std::error_code failure_of_dialling(Host& host, const std::string& other) {
  try {
    host.dial(other, milliseconds(400));
  } catch (const std::system_error& failure) {
    return failure.code();
  }
  return {};
}

// `bytes` from the one to the other and an answer of one byte.
void send_across(Stream& from, Stream& to, size_t bytes) {
  const Deadline deadline = after(seconds(20));
  const std::vector<std::byte> sent(bytes, std::byte{7});
  std::vector<std::byte> received(bytes);
  std::jthread receiver([&] {
    to.read_all(received, deadline);
    to.write_all(std::span(received).first(1), deadline);
  });
  from.write_all(sent, deadline);
  std::byte answer{};
  from.read_all({&answer, 1}, deadline);
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
  Host source(*link, "source"), last(*link, "destination2"), hub(*link, "hub");
  const auto at_source = source.listen(), at_hub = hub.listen();
  const auto dialled = last.dial("source", seconds(10)), beside = last.dial("hub", seconds(10));
  const auto accepted = at_source->accept(after(seconds(10)));
  const auto met = at_hub->accept(after(seconds(10)));
  send_across(*accepted, *dialled, 100'000);
  send_across(*met, *beside, 100'000);
}

TEST_P(LinkHosts, AreCountedEachForItself) {
  const auto link = make(3);
  Host source(*link, "source"), second(*link, "destination1");
  const auto listener = source.listen();
  const auto dialled = second.dial("source", seconds(10));
  const auto accepted = listener->accept(after(seconds(10)));
  constexpr uint64_t kBytes = 4 << 20;
  send_across(*accepted, *dialled, kBytes);
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
  Host source(*link, "source"), second(*link, "destination1");
  const auto listener = source.listen();
  link->set_cut(true);
  EXPECT_EQ(failure_of_dialling(second, "source"), std::errc::timed_out);
  link->set_cut(false);
  EXPECT_TRUE(second.dial("source", seconds(20)));
}

TEST_P(LinkHosts, OfWhichTheSourceCanDialNoneBehindANat) {
  if (const auto problem = dials_problem(Dials::destination); !problem.empty())
    GTEST_SKIP() << problem;
  const auto link = make_nat(2);
  Host source(*link, "source"), first(*link, "destination0"), second(*link, "destination1");
  const auto at_first = first.listen(), at_second = second.listen(), at_source = source.listen();
  EXPECT_EQ(failure_of_dialling(source, "destination0"), std::errc::timed_out);
  EXPECT_EQ(failure_of_dialling(source, "destination1"), std::errc::timed_out);
  // What they dial themselves carries bytes both ways.
  const auto dialled = second.dial("source", seconds(10));
  const auto accepted = at_source->accept(after(seconds(10)));
  send_across(*accepted, *dialled, 1 << 20);
  send_across(*dialled, *accepted, 1 << 20);
  EXPECT_TRUE(first.dial("destination1", seconds(10)));  // nothing is between them
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
