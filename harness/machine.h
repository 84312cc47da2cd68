// What this machine offers to a plan, and where suites and campaigns lie on it.
#pragma once

#include <string>
#include <vector>

#include "harness/plan.h"

namespace memsync {

Machine this_machine();
std::vector<std::string> suite_folders();  // where suites are found by name, in this order
std::string results_folder();              // where campaigns without --out go

}  // namespace memsync
