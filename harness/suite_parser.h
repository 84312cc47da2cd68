// The parts of a suite's parser that stand in files of their own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/suite.h"
#include "harness/suite_document.h"
#include "harness/suite_fields.h"

namespace memsync {

// What the parts need to know of the whole.
struct SuiteSource {
  const std::string& file;  // its path, for refusals and relative paths
  const StrategyDirectory& known;
};

// Each throws SuiteError at the place of what is wrong.
Workload parse_workload(const SuiteSource& source, const SuiteNode& node);
LinkSpec parse_link(const SuiteSource& source, const SuiteNode& node);
ApproachSpec parse_approach(const SuiteSource& source, const SuiteNode& node);
// The demands of `suite`, whose other lists have been read.
std::vector<Demand> parse_demands(const SuiteSource& source, const Suite& suite,
                                  const SuiteNode& list);

// Refuses a `key` that is given and none of `names`: those that the suite has.
void check_name(const Fields& fields, std::string_view key, const std::vector<std::string>& names);

}  // namespace memsync
