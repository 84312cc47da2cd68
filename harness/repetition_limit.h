// What no implementation can exceed.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/columns.h"
#include "harness/repetition.h"

namespace memsync {

// Sets the limit of a read that crosses the link, what bounds it, and how near it came.
//   moved  the destination's statistics
// Throws RepetitionFailure `invalid` where more moved than is possible.
void set_limit(const RepetitionSetup& setup, const nlohmann::json& moved, Row& row);

}  // namespace memsync
