// Names, units, colours and options as JSON: for `memsync list` and for registry.json.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/suite.h"

namespace memsync {

// {"approaches", "links", "workloads", "suites", "backends", "transports", "attachments",
// "metrics"}
nlohmann::json list_json();
// What a figure needs besides numbers; written into each results directory.
nlohmann::json registry_json(const Suite& suite, LinkEngine engine);

}  // namespace memsync
