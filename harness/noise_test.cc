// Whose the machine's CPU time was, and how long a campaign waits for it.
#include "harness/noise.h"

#include <atomic>
#include <gtest/gtest.h>
#include <stdexcept>
#include <thread>
#include <unistd.h>
#include <vector>

#include "harness/quiet_gate.h"
#include "lib/os/process.h"

namespace memsync {
namespace {

using namespace std::chrono_literals;

// Two CPUs, ten seconds later unless a test says otherwise.
struct TwoReadings {
  MachineReading before{.at = Deadline{}, .cpus = 2};
  MachineReading now{.at = Deadline{} + 10s, .cpus = 2};
};

TEST(Others, HaveWhatIsNeitherIdleNorOurs) {
  TwoReadings readings;
  readings.now.idle_s = 12;
  readings.now.ours_s = 5;
  EXPECT_NEAR(others_share(readings.before, readings.now)->ratio, 3.0 / 20, 1e-12);
  readings.now.interrupts_s = 1;
  readings.now.steal_s = 0.5;
  EXPECT_NEAR(others_share(readings.before, readings.now)->ratio, 1.5 / 20, 1e-12);
}

TEST(Others, AreNeverLessThanNobody) {
  TwoReadings readings;
  readings.now.idle_s = 20.01;  // rounded up
  EXPECT_EQ(others_share(readings.before, readings.now)->ratio, 0);
}

TEST(Others, AreNotToldOfAMomentTooShortForTheUnit) {
  TwoReadings readings;
  readings.now.at = Deadline{} + 20ms;
  EXPECT_FALSE(others_share(readings.before, readings.now).has_value());
}

TEST(MachineReadings, CountAnEndedChildAsOurs) {
  const MachineReading before = read_machine();
  const rusage spent =
      run_tool({"sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"}).end.usage;
  const double child_s =
      static_cast<double>(spent.ru_utime.tv_sec + spent.ru_stime.tv_sec) +
      static_cast<double>(spent.ru_utime.tv_usec + spent.ru_stime.tv_usec) * 1e-6;
  EXPECT_GT(child_s, 0);
  EXPECT_GE(read_machine().ours_s - before.ours_s, child_s - 1e-5);
}

TEST(MachineReadings, CountTheCpus) {
  EXPECT_EQ(read_machine().cpus, static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

Row noise_of(const TwoReadings& readings, bool was_quiet = true, Hosts hosts = Hosts::here) {
  Row row;
  set_noise(readings.before, readings.now, was_quiet, hosts, row);
  return row;
}

TEST(Noise, IsStealOrOthersOrAGateThatGaveUp) {
  TwoReadings readings;
  readings.now.idle_s = 20;
  EXPECT_EQ(noise_of(readings).get("noisy"), "0");
  EXPECT_EQ(noise_of(readings, false).get("noisy"), "1");
  readings.now.steal_s = 0.21;
  EXPECT_EQ(noise_of(readings).get("noisy"), "1");
  readings.now.steal_s = 0;
  readings.now.idle_s = 17.9;
  EXPECT_EQ(noise_of(readings).get("noisy"), "1");
  EXPECT_EQ(noise_of(readings).get("other_cpu_ratio"), "0.105");
}

TEST(Noise, IsNotWhatRoundingAloneMayBe) {
  TwoReadings readings;
  readings.now.at = Deadline{} + 50ms;  // 0.1 s of CPU time, counted in 10 ms
  readings.now.idle_s = 0.081;
  EXPECT_EQ(noise_of(readings).get("other_cpu_ratio"), "0.19");
  EXPECT_EQ(noise_of(readings).get("noisy"), "0");
  readings.now.idle_s = 0.07;
  EXPECT_EQ(noise_of(readings).get("noisy"), "1");
}

TEST(Noise, OfAnotherMachineIsNotSeen) {
  const Row row = noise_of({}, true, Hosts::elsewhere);
  EXPECT_EQ(row.get("other_cpu_ratio"), "");
  EXPECT_EQ(row.get("noisy"), "0");
}

// A machine on which others use `busy` of the CPUs for the first `looks` looks.
struct ScriptedMachine {
  int looks = 0;
  double busy = 1;
  int asked = 0;
  std::function<double()> others() {
    return [this] { return asked++ < looks ? busy : 0.0; };
  }
};

TEST(QuietGateTest, LetsARepetitionPassAtOnceWhenTheMachineIsQuiet) {
  ScriptedMachine machine;
  QuietGate gate({.campaign = 1h}, machine.others());
  EXPECT_TRUE(gate.wait([](double) { FAIL() << "it paused"; }));
  EXPECT_EQ(machine.asked, 1);
}

TEST(QuietGateTest, WaitsUntilOthersHaveEnded) {
  ScriptedMachine machine{.looks = 3, .busy = 0.5};
  QuietGate gate({.repetition = 1h, .campaign = 1h, .pause = 1ms}, machine.others());
  std::vector<double> told;
  EXPECT_TRUE(gate.wait([&](double others) { told.push_back(others); }));
  EXPECT_EQ(told, (std::vector<double>{0.5, 0.5, 0.5}));
  EXPECT_EQ(machine.asked, 4);
}

TEST(QuietGateTest, GivesUpWhenTheRepetitionsPatienceEnds) {
  ScriptedMachine machine{.looks = 1'000'000};
  QuietGate gate({.repetition = 3ms, .campaign = 1h, .pause = 1ms}, machine.others());
  for (int repetition = 1; repetition <= 2; ++repetition) {
    machine.asked = 0;
    EXPECT_FALSE(gate.wait([](double) {}));
    EXPECT_EQ(machine.asked, 4) << "once before each pause of 1 ms, and once after the last";
  }
}

TEST(QuietGateTest, LooksOnceWhenTheCampaignsPatienceHasEnded) {
  ScriptedMachine machine{.looks = 1'000'000};
  QuietGate gate({.repetition = 1h, .campaign = 3ms, .pause = 1ms}, machine.others());
  EXPECT_FALSE(gate.wait([](double) {}));
  machine.asked = 0;
  EXPECT_FALSE(gate.wait([](double) { FAIL() << "it paused"; }));
  EXPECT_EQ(machine.asked, 1);
}

TEST(QuietGateTest, EndsTheWaitWhenTheCallerThrows) {
  ScriptedMachine machine{.looks = 1'000'000};
  QuietGate gate({.repetition = 1h, .campaign = 1h}, machine.others());
  EXPECT_THROW(gate.wait([](double) { throw std::runtime_error("Ctrl-C"); }), std::runtime_error);
}

TEST(OthersWantingCpus, AreSeenWhileTheyRun) {
  // As many threads as CPUs; this test's own thread is not counted, they are.
  std::atomic<bool> stop{false};
  std::vector<std::jthread> busy;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i)
    busy.emplace_back([&] {
      while (!stop) {
      }
    });
  const double others = others_wanting_cpus();
  stop = true;
  EXPECT_GT(others, kOthersMax);
}

}  // namespace
}  // namespace memsync
