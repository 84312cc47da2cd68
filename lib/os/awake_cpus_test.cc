#include "lib/os/awake_cpus.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <optional>

#include "lib/os/clock.h"

namespace memsync {
namespace {

// How often all CPUs together have entered a state that takes time to leave. Nothing: no cpuidle.
std::optional<uint64_t> sleeps() {
  namespace fs = std::filesystem;
  std::optional<uint64_t> total;
  for (const auto& cpu : fs::directory_iterator("/sys/devices/system/cpu")) {
    std::error_code none;
    for (const auto& state : fs::directory_iterator(cpu.path() / "cpuidle", none)) {
      uint64_t latency_us = 0;
      uint64_t entered = 0;
      std::ifstream(state.path() / "latency") >> latency_us;
      std::ifstream(state.path() / "usage") >> entered;
      if (latency_us > 0) total = total.value_or(0) + entered;
    }
  }
  return total;
}

TEST(AwakeCpus, DoNotSleepWhileOneLives) {
  const AwakeCpus awake;
  if (!awake.problem().empty()) GTEST_SKIP() << awake.problem();
  if (!sleeps()) GTEST_SKIP() << "this kernel has no cpuidle: /sys/devices/system/cpu/*/cpuidle";
  sleep_until_deadline(after(std::chrono::milliseconds(20)));  // who sleeps now has been woken
  const auto before = sleeps();
  sleep_until_deadline(after(std::chrono::milliseconds(100)));
  EXPECT_EQ(sleeps(), before);
}

TEST(AwakeCpus, SayWhatIsMissing) {
  const AwakeCpus awake;
  if (awake.problem().empty()) GTEST_SKIP() << "nothing is missing here";
  EXPECT_TRUE(awake.problem().starts_with("/dev/cpu_dma_latency: ")) << awake.problem();
}

}  // namespace
}  // namespace memsync
