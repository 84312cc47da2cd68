// Which programs stand behind the peers of a suite: what --peer NAME=EXECUTABLE says, checked.
#pragma once

#include <map>
#include <span>
#include <string>

#include "harness/suite.h"

namespace memsync {

// name -> absolute path. Throws std::invalid_argument for what is not NAME=EXECUTABLE, for a name
// given twice and for a file that can't be executed.
std::map<std::string, std::string> parse_peers(std::span<const std::string> given);

// Throws SuiteError for a name that no series of the suite uses: whoever typed it expects an
// effect.
void refuse_unused_peers(const Suite& suite, const std::map<std::string, std::string>& peers);

}  // namespace memsync
