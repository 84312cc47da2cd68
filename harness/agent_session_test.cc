// Two agents' sessions in one process, over an approach that needs no network.
#include "harness/agent_session.h"

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <string>

#include "harness/workload_wire.h"

namespace memsync {
namespace {

using Json = nlohmann::json;
using Given = std::map<std::string, std::string>;

constexpr uint64_t kRegion = 64 << 10;
constexpr double kDelay = 0.02;
constexpr const char* kDelayText = "20ms";

Workload workload_of(WorkloadKind does) {
  Workload workload;
  workload.does = does;
  workload.region_bytes = kRegion;
  workload.chunk_bytes = workload.touch_bytes = 4096;
  if (does == WorkloadKind::handover)
    workload.writer = WriterSpec{.bytes_per_second = 16 << 20, .span_bytes = kRegion};
  return workload;
}

// A source and a destination of `floor`, both open.
class Hosts {
 public:
  Hosts(WorkloadKind does, const Given& options, const Json& more = Json::object()) {
    Json request = {{"do", "prepare"},
                    {"role", "source"},
                    {"host", "source"},
                    {"approach", "floor"},
                    {"options", options},
                    {"workload", to_json(workload_of(does))},
                    {"seed", 1},
                    {"region_id", std::string(32, '0')},
                    {"limit_s", 60.0},
                    {"addresses", {{"source", "127.0.0.1"}, {"destination0", "127.0.0.1"}}}};
    request.update(more);
    source.answer(request);
    request["role"] = "destination";
    request["host"] = "destination0";
    destination.answer(request);
    source_opened = source.answer({{"do", "open"}});
    destination_opened = destination.answer({{"do", "open"}});
  }

 private:
  const FileDescriptor shared_ = FileDescriptor::memory_file("region", kRegion + page_bytes());

 public:
  AgentSession source{shared_.get()};
  AgentSession destination{shared_.get()};
  Json source_opened, destination_opened;
};

TEST(PlantedDelay, IsPartOfOpeningTheDestinationOfARead) {
  Hosts hosts(WorkloadKind::read, {{"planted_delay", kDelayText}});
  EXPECT_GE(hosts.destination_opened.at("open_s").get<double>(), kDelay);
  EXPECT_GE(hosts.destination.answer({{"do", "read"}}).at("first_access_s").get<double>(), kDelay);
}

// Descriptors of this process that keep CPUs from sleeping.
ptrdiff_t requests_to_stay_awake() {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return std::ranges::count_if(open, [](const auto& descriptor) {
    std::error_code gone;
    return std::filesystem::read_symlink(descriptor, gone) == "/dev/cpu_dma_latency";
  });
}

TEST(AgentSession, KeepsCpusFromSleepingUnlessTheyMay) {
  if (const AwakeCpus awake; !awake.problem().empty()) GTEST_SKIP() << awake.problem();
  {
    const Hosts hosts(WorkloadKind::read, {}, {{"may_sleep", true}});
    EXPECT_EQ(requests_to_stay_awake(), 0);
  }
  const Hosts hosts(WorkloadKind::read, {});
  EXPECT_EQ(requests_to_stay_awake(), 2);
}

TEST(AgentSession, TellsWhatHadMovedByTheLastAccess) {
  Hosts hosts(WorkloadKind::read, {});
  EXPECT_EQ(hosts.destination.answer({{"do", "read"}}).at("moved").at("payload_received"), 0);
}

Json changing_request(double limit_s) {
  Workload workload = workload_of(WorkloadKind::update);
  workload.dirty_ratio = 0.5;
  return {{"workload", to_json(workload)}, {"limit_s", limit_s}};
}

TEST(AgentSession, SaysWhenAllOfARoundsChangesAreThere) {
  Hosts hosts(WorkloadKind::update, {}, changing_request(60));
  for (uint64_t round = 0; round < 2; ++round) {
    hosts.destination.answer({{"do", "expect_round"}, {"round", round}});
    const Json synced = hosts.source.answer({{"do", "dirty_and_sync"}, {"round", round}});
    const Json seen = hosts.destination.answer({{"do", "await_round"}});
    EXPECT_GE(seen.at("equal_ns").get<int64_t>(), synced.at("changed_ns").get<int64_t>());
  }
}

TEST(AgentSession, SaysHowManyOfARoundsChangesNeverCame) {
  Hosts hosts(WorkloadKind::update, {}, changing_request(0.01));
  hosts.destination.answer({{"do", "expect_round"}, {"round", 0}});
  try {
    hosts.destination.answer({{"do", "await_round"}});
    FAIL() << "saw what nobody has changed";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code(), std::errc::timed_out);
    EXPECT_NE(std::string(problem.what()).find("0 of 8 came"), std::string::npos) << problem.what();
  }
}

TEST(AgentSession, IsNoHostOfAnotherName) {
  EXPECT_THROW(Hosts(WorkloadKind::read, {}, {{"host", "destinatoin1"}}), std::invalid_argument);
}

TEST(PlantedDelay, IsPartOfTheBlackoutOfAHandOver) {
  Hosts hosts(WorkloadKind::handover, {{"planted_delay", kDelayText}});
  hosts.source.answer({{"do", "write_start"}});
  const Json moved = hosts.destination.answer({{"do", "hand_over"}});
  const Json stopped = hosts.source.answer({{"do", "write_stop"}});
  EXPECT_GE(moved.at("resume_s").get<double>(), kDelay);
  const auto first = moved.at("done_ns").at(0).get<int64_t>();
  const auto last = stopped.at("last_done_ns").get<int64_t>();
  EXPECT_GE(static_cast<double>(first - last) * 1e-9, kDelay);
}

}  // namespace
}  // namespace memsync
