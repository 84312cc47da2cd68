// Makes the policy that the settings name.
#pragma once

#include <memory>
#include <vector>

#include "approaches/userfaultfd/prefetch/prefetcher.h"
#include "approaches/userfaultfd/settings.h"

namespace memsync::userfaultfd {

// What a policy needs beside its settings.
struct Guidance {
  std::vector<UnitIndex> order{};             // trace, priority: what to pull, in this order
  std::vector<UnitIndex>* touches = nullptr;  // trace: record here instead; outlives the policy
};

// Where the settings pull everything in the background, the policy's units come first, then the
// rest in ascending order; a recording pulls nothing.
std::unique_ptr<Prefetcher> make_prefetcher(const Settings& settings, UnitIndex unit_count,
                                            Guidance guidance);

}  // namespace memsync::userfaultfd
