// The parts of a suite's parser that stand in files of their own.
#pragma once

#include <string>

#include "harness/suite.h"
#include "harness/suite_document.h"

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

}  // namespace memsync
