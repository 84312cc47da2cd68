// What makes this machine noisy, each with the next step.
#pragma once

#include <nlohmann/json.hpp>

namespace memsync {

// A list of checks as examine_machine() has them, from watching the machine for half a second.
nlohmann::json examine_noise();

}  // namespace memsync
