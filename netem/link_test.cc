// Links of every engine that this machine has, in real namespaces.
#include "netem/link.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netem/calibration.h"
#include "netem/link_test_traffic.h"

namespace memsync {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kGigabit = 1'000'000'000;

class EachEngine : public testing::TestWithParam<LinkEngine> {
 protected:
  void SetUp() override {
    if (const auto problem = engine_problem(GetParam()); !problem.empty()) GTEST_SKIP() << problem;
  }
  std::unique_ptr<Link> make(const LinkShape& shape = {}) const {
    return make_test_link(GetParam(), shape);
  }
};

INSTANTIATE_TEST_SUITE_P(Link, EachEngine,
                         testing::Values(LinkEngine::none, LinkEngine::tun, LinkEngine::tc),
                         [](const auto& engine) { return std::string(engine_name(engine.param)); });

TEST_P(EachEngine, CarriesBytesBothWaysAndUsesTheCongestionControlAskedFor) {
  const auto link = make();
  const auto forth = transfer(*link, Direction::forth, 1 << 20);
  EXPECT_EQ(forth.received_bytes, 1u << 20);
  EXPECT_EQ(forth.congestion_control, "cubic");
  EXPECT_EQ(transfer(*link, Direction::back, 1 << 20).received_bytes, 1u << 20);
}

TEST_P(EachEngine, CountsDatagramsExactlyAsIpPacketsOnBothSides) {
  const auto link = make();
  const auto before = link->counters();
  ASSERT_EQ(send_datagrams(*link, Direction::forth, 100, 1000), 100u);
  ASSERT_EQ(send_datagrams(*link, Direction::back, 50, 200), 50u);
  const auto after = link->counters();
  EXPECT_EQ(after.sent_bytes - before.sent_bytes, 100u * 1028);
  EXPECT_EQ(after.received_bytes - before.received_bytes, 50u * 228);
  EXPECT_EQ(after.packets - before.packets, 150u);
}

// The receiving host's kernel counts the segments it gets; what it cannot miss is each one's
// header. So the wire's bytes are the payload and a header of 52 bytes for every data packet.
TEST_P(EachEngine, CountsATransferOfSuperpacketsAsTheSegmentsTheyBecome) {
  const auto link = make();
  constexpr uint64_t kBytes = 8 << 20;
  const auto before = link->counters();
  ASSERT_EQ(transfer(*link, Direction::forth, kBytes).received_bytes, kBytes);
  const auto after = link->counters();
  const double least = double{kBytes} * 1500 / 1448;
  const double sent = static_cast<double>(after.sent_bytes - before.sent_bytes);
  EXPECT_GE(sent, least);
  EXPECT_LE(sent, least * 1.02 + 1000);  // a few retransmissions and short segments
  ASSERT_EQ(transfer(*link, Direction::back, kBytes).received_bytes, kBytes);
  const double received =
      static_cast<double>(link->counters().received_bytes - after.received_bytes);
  EXPECT_GE(received, least);
  EXPECT_LE(received, least * 1.02 + 1000);
}

TEST_P(EachEngine, DeliversNothingWhileItIsCutAndEverythingAfterItIsMended) {
  const auto link = make();
  link->set_cut(true);
  EXPECT_EQ(send_datagrams(*link, Direction::forth, 20, 100), 0u);
  EXPECT_EQ(send_datagrams(*link, Direction::back, 20, 100), 0u);
  link->set_cut(false);
  EXPECT_EQ(send_datagrams(*link, Direction::forth, 20, 100), 20u);
  EXPECT_EQ(send_datagrams(*link, Direction::back, 20, 100), 20u);
}

TEST_P(EachEngine, CalibratesWithoutAShape) {
  const auto link = make();
  const Calibration result = calibrate(*link);
  EXPECT_TRUE(result.ok()) << result.problem;
  EXPECT_GE(result.rtt_probes, 50u);
  EXPECT_FALSE(result.bits_per_second);
  EXPECT_FALSE(result.loss_ratio);
  EXPECT_EQ(result.tcp_congestion_control, "cubic");
}

}  // namespace
}  // namespace memsync
