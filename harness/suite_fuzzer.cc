// Any bytes as a suite: read or refused with a sentence, and what was read can be planned or
// refused.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "harness/access_pattern.h"
#include "harness/plan.h"
#include "harness/suite.h"
#include "harness/suite_fakes.h"

namespace {

memsync::Machine machine() {
  memsync::Machine machine;
  machine.engines = {{memsync::LinkEngine::tc, false, "no netem", "load it"},
                     {memsync::LinkEngine::tun, true, "", ""},
                     {memsync::LinkEngine::none, true, "", ""}};
  machine.memory_available_bytes = uint64_t{1} << 34;
  machine.cpu_count = 2;
  machine.strategies = memsync::described_strategies();
  machine.shape_problem = [](memsync::LinkEngine engine,
                             const memsync::LinkShape& shape) -> std::string {
    return engine == memsync::LinkEngine::none && shape != memsync::LinkShape{}
               ? "none shapes nothing"
               : "";
  };
  machine.unmet = [](const memsync::SyncStrategy&, const memsync::Options&) {
    return std::vector<std::string>{};
  };
  return machine;
}

void use(const memsync::Workload& workload) {
  const memsync::AccessPattern pattern(workload.access, workload.region_bytes, workload.touch_bytes,
                                       1);
  for (uint64_t i = 0; i < 8; ++i) {
    const memsync::ByteRange range = pattern.at(i * 0x1234567890abcdU);
    if (range.length == 0 ||
        !memsync::lies_within(range.offset, range.length, workload.region_bytes))
      std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const memsync::Machine here = machine();
  try {
    const memsync::Suite suite = memsync::parse_suite(
        std::string(reinterpret_cast<const char*>(data), size), "/nowhere/s.yaml", here.strategies);
    for (const memsync::Workload& workload : suite.workloads) use(workload);
    const memsync::Plan plan = memsync::make_plan(suite, here);
    if (plan.cells.size() * (plan.reps + plan.warmup) < 10000) memsync::order(plan, suite.seed);
    memsync::to_json(plan, suite);
  } catch (const memsync::SuiteError&) {
    // The only way out for a suite that is wrong.
  }
  return 0;
}
