// What an update workload does in a repetition: the region changes, sync(), everybody is compared.
#pragma once

#include <optional>
#include <vector>

#include "harness/expectations.h"
#include "harness/repetition.h"
#include "harness/repetition_hosts.h"

namespace memsync {

struct UpdateOutcome {
  std::vector<double> syncs_s;
  std::optional<double> write_s;  // the changes of all rounds; none with a writer
  uint64_t checked_bytes = 0;     // at all readers together
  // Of each round, from its last change until a destination has all of them: the first that has,
  // and the last. Empty where nobody looks (Workload::is_watched).
  std::vector<double> first_lags_s, all_lags_s;
};

// The hosts are open. Throws RepetitionFailure.
UpdateOutcome run_update(const RepetitionSetup& setup, RepetitionHosts& hosts,
                         Expectations& expectations);

}  // namespace memsync
