// A machine and small suites for tests of plans.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/plan.h"
#include "harness/suite_fakes.h"

namespace memsync {

// What netem would say, as far as the plan cares: `none` only forwards.
inline std::string described_shape_problem(LinkEngine engine, const LinkShape& shape) {
  if (engine == LinkEngine::none && shape != LinkShape{})
    return "engine none neither delays nor limits";
  return "";
}

inline Machine capable_machine() {
  Machine machine;
  machine.engines = {
      {LinkEngine::tc, false, "this kernel has no netem", "use a kernel with sch_netem"},
      {LinkEngine::tun, true, "", ""},
      {LinkEngine::none, true, "", ""}};
  machine.memory_available_bytes = uint64_t{16} << 30;
  machine.cpu_count = 2;
  machine.strategies = described_strategies();
  machine.shape_problem = described_shape_problem;
  machine.dials_problem = [](Dials) { return std::string(); };
  machine.unmet = [](const SyncStrategy&, const Options&) { return std::vector<std::string>{}; };
  return machine;
}

inline Suite suite_of(
    const std::string& workloads, const std::string& links = "{use: local}, {use: lan}, {use: wan}",
    const std::string& approaches = "{use: userfaultfd}, {use: tcp_copy}, {use: floor}",
    const std::string& more = "") {
  return parse_suite("{schema: 1, suite: s, workloads: [" + workloads + "], links: [" + links +
                         "], approaches: [" + approaches + "]" + more + "}",
                     "s.yaml", described_strategies());
}

inline constexpr const char* kScan = "{name: scan, does: read, region: 1MiB}";
inline constexpr const char* kMove = "{name: move, does: handover, region: 1MiB, after: 100ms}";

inline const Cell& cell_of(const Plan& plan, const std::string& id) {
  const auto found = std::ranges::find(plan.cells, id, &Cell::cell_id);
  if (found == plan.cells.end()) throw std::out_of_range("no cell " + id);
  return *found;
}

}  // namespace memsync
