#include "harness/repetition_limit.h"

#include <algorithm>

#include "approaches/registry.h"
#include "harness/agent_process.h"

namespace memsync {

namespace {

constexpr double kImpossible = 1.02;  // of the limit

}  // namespace

void set_limit(const RepetitionSetup& setup, const nlohmann::json& moved, Row& row) {
  const Workload& workload = setup.suite.workloads[setup.cell.workload];
  const ApproachSpec& approach = setup.suite.approaches[setup.cell.approach];
  const SyncStrategy* strategy = find_strategy(approach.use);
  const Options options(strategy->info().options, approach.with);
  if (workload.does != WorkloadKind::read || !uses_link(*strategy, options)) return;
  double limit = setup.copy_rate;
  double judged =
      limit;  // by the shortest round trip seen, not the median, so as never to be unjust
  std::string by = "copy";
  const auto lower = [&](double candidate, double judged_candidate, const char* name) {
    judged = std::min(judged, judged_candidate);
    if (candidate >= limit) return;
    limit = candidate;
    by = name;
  };
  if (setup.calibration != nullptr) {
    const Calibration& link = *setup.calibration;
    if (link.bits_per_second) lower(*link.bits_per_second / 8, *link.bits_per_second / 8, "rate");
    if (moved.contains("window_bytes") && link.rtt_p50_s > 0 && link.rtt_min_s > 0) {
      const double window = moved["window_bytes"];
      lower(window / link.rtt_p50_s, window / link.rtt_min_s, "window");
    }
  }
  row.set("limit_Bps", limit);
  row.set("limit_by", by);
  if (!moved.contains("payload_received") || !moved.contains("elapsed_s")) return;
  const double rate = moved["payload_received"].get<double>() / moved["elapsed_s"].get<double>();
  row.set("efficiency_ratio", rate / limit);
  if (rate > kImpossible * judged)
    throw RepetitionFailure("invalid", "moved " + std::to_string(static_cast<uint64_t>(rate)) +
                                           " B/s where " + by + " allows " +
                                           std::to_string(static_cast<uint64_t>(judged)));
}

}  // namespace memsync
