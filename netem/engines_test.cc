// What is promised without a packet: shapes, engines, and what is left when somebody is killed.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/os/error.h"
#include "lib/os/process.h"
#include "netem/link_test_traffic.h"

namespace memsync {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(LinkShape, HasAQueueOfOneAndAHalfBdpAndNeverLessThan256KiB) {
  EXPECT_EQ(queue_bytes_of({.bits_per_second = 1'000'000'000, .rtt = milliseconds(25)}),
            4'687'500u);
  EXPECT_EQ(queue_bytes_of({.bits_per_second = 1'000'000'000}), 256u << 10);
  EXPECT_EQ(queue_bytes_of({.rtt = milliseconds(10)}), 18'750'000u);
  EXPECT_EQ(queue_bytes_of({.rtt = milliseconds(10), .queue_bytes = 5000}), 5000u);
}

TEST(LinkShape, IsDescribedForPeople) {
  EXPECT_EQ(
      describe({.bits_per_second = 1'000'000'000, .rtt = milliseconds(25), .loss_ratio = 0.001}),
      "1 Gbit/s, 25 ms RTT, loss 0.1 %");
}

TEST(LinkShape, ThatAnEngineCannotMakeIsRefusedWithTheReason) {
  EXPECT_EQ(shape_problem(LinkEngine::none, {}), "");
  EXPECT_THAT(shape_problem(LinkEngine::none, {.rtt = milliseconds(1)}),
              HasSubstr("only forwards"));
  EXPECT_THAT(shape_problem(LinkEngine::tun, {.loss_ratio = 1}), HasSubstr("below 1"));
  EXPECT_THAT(shape_problem(LinkEngine::tc, {.rtt = milliseconds(-1)}), HasSubstr("negative"));
  EXPECT_THAT(shape_problem(LinkEngine::tun, {.bits_per_second = 1}), HasSubstr("at least"));
  EXPECT_EQ(shape_problem(LinkEngine::tun, {.bits_per_second = 1'000'000'000}), "");
  EXPECT_THROW(make_link({.engine = LinkEngine::none, .shape = {.rtt = milliseconds(1)}}),
               std::runtime_error);
}

TEST(Engines, AreProbedInOrderOfPreferenceEachWithAReasonWhenItIsMissing) {
  const auto engines = probe_engines();
  ASSERT_EQ(engines.size(), 3u);
  EXPECT_EQ(engines[0].engine, LinkEngine::tc);
  EXPECT_EQ(engines[1].engine, LinkEngine::tun);
  EXPECT_EQ(engines[2].engine, LinkEngine::none);
  for (const auto& state : engines) {
    EXPECT_EQ(state.reason.empty(), state.available);
    EXPECT_EQ(state.next_step.empty(), state.available);
  }
}

// Runs one test of this program, marked as disabled, in another process.
ProcessSetup other_process(const std::string& test, std::vector<std::string> prefix = {}) {
  prefix.insert(prefix.end(), {std::filesystem::read_symlink("/proc/self/exe").string(),
                               "--gtest_also_run_disabled_tests", "--gtest_filter=" + test});
  return {.arguments = std::move(prefix)};
}

TEST(InAUserNamespace, DISABLED_TheEnginesThatAreAvailableWorkAndTheOthersSayWhyNot) {
  for (const auto& state : probe_engines()) {
    if (state.available) {
      const auto link = make_test_link(state.engine, {});
      EXPECT_EQ(transfer(*link, Direction::forth, 1 << 20).received_bytes, 1u << 20);
    } else {
      EXPECT_NE(state.engine, LinkEngine::none) << state.reason;
      EXPECT_NE(state.reason, "");
      EXPECT_NE(state.next_step, "");
    }
  }
}

TEST(Engines, WorkForTheRootOfAUserNamespaceAsFarAsTheyClaimTo) {
  const auto can = run_tool({"unshare", "--user", "--map-root-user", "true"});
  if (!can.ok()) GTEST_SKIP() << "no user namespaces: " << can.output;
  const auto setup = other_process("InAUserNamespace.*", {"unshare", "--user", "--map-root-user"});
  const ToolResult result = run_tool(setup.arguments);
  EXPECT_TRUE(result.ok()) << result.output;
}

constexpr int kReportNumber = 9;

TEST(LinkHolder, DISABLED_HoldsALinkUntilItIsKilled) {
  const auto link = make_test_link(LinkEngine::tun, {.bits_per_second = 1'000'000'000});
  struct stat network{};
  ASSERT_EQ(::fstat(link->source().descriptor().get(), &network), 0);
  write_all(kReportNumber, &network.st_ino, sizeof network.st_ino, "reporting the namespace");
  ::pause();
}

std::vector<pid_t> children_of(pid_t parent) {
  std::ifstream file("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                     "/children");
  std::vector<pid_t> result;
  for (pid_t child = 0; file >> child;) result.push_back(child);
  return result;
}

bool somebody_lives_in(ino_t network) {
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    struct stat own{};
    if (::stat((process.path() / "ns/net").c_str(), &own) == 0 && own.st_ino == network)
      return true;
  }
  return false;
}

TEST(TunLink, LeavesNothingBehindWhenItsOwnerIsKilled) {
  if (const auto problem = engine_problem(LinkEngine::tun); !problem.empty())
    GTEST_SKIP() << problem;
  // Orphans come to us, so that their end can be waited for.
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  auto [ours, theirs] = FileDescriptor::socket_pair();
  ProcessSetup setup = other_process("LinkHolder.*");
  setup.descriptors = {{theirs.get(), kReportNumber}};
  Process holder = Process::start(setup);
  ino_t network = 0;
  read_all(ours.get(), &network, sizeof network, "reading the namespace");
  const auto emulators = children_of(holder.pid());
  ASSERT_EQ(emulators.size(), 1u);
  holder.kill(SIGKILL);
  ASSERT_TRUE(holder.wait_until(after(std::chrono::seconds(10))));
  int status = 0;
  ASSERT_EQ(::waitpid(emulators[0], &status, 0), emulators[0]);
  // Nobody else holds the namespaces, so the kernel takes them away with all their devices.
  EXPECT_FALSE(somebody_lives_in(network));
}

TEST(TunLink, WhoseEmulatorHasDiedSaysSo) {
  if (const auto problem = engine_problem(LinkEngine::tun); !problem.empty())
    GTEST_SKIP() << problem;
  const auto link = make_test_link(LinkEngine::tun, {});
  link->check_alive();
  const auto emulators = children_of(::getpid());
  ASSERT_EQ(emulators.size(), 1u);
  ASSERT_EQ(::kill(emulators[0], SIGKILL), 0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(emulators[0]), &ended, WEXITED | WNOWAIT), 0);
  try {
    link->check_alive();
    FAIL() << "the link claims to be alive";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "memsync-link has ended: killed by signal 9 (Killed)");
  }
  EXPECT_THROW(link->set_cut(true), std::runtime_error);
}

TEST(TunLink, WithoutItsProgramIsRefusedByName) {
  if (const auto problem = engine_problem(LinkEngine::tun); !problem.empty())
    GTEST_SKIP() << problem;
  try {
    make_link({.engine = LinkEngine::tun, .tun_program = "/nonexistent/memsync-link"});
    FAIL() << "started a program that is not there";
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/memsync-link"));
  }
}

}  // namespace
}  // namespace memsync
