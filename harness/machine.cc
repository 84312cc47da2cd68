#include "harness/machine.h"

#include <thread>

#include "harness/environment.h"

namespace memsync {

std::vector<std::string> suite_folders() {
  return {source_folder() + "/harness/suites"};
}

std::string results_folder() {
  return source_folder() + "/results";
}

Machine this_machine() {
  Machine machine;
  machine.engines = probe_engines();
  machine.memory_available_bytes = memory_available_bytes();
  machine.cpu_count = std::thread::hardware_concurrency();
  machine.strategies = registered_strategies();
  machine.shape_problem = shape_problem;
  machine.dials_problem = dials_problem;
  machine.unmet = [](const SyncStrategy& strategy, const Options& options) {
    return strategy.unmet_requirements(options);
  };
  return machine;
}

}  // namespace memsync
