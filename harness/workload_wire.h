// A workload as the conductor tells it to an agent, and the content that it starts from.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "harness/suite.h"
#include "lib/backend/backend.h"

namespace memsync {

nlohmann::json to_json(const Workload& workload);
// Throws nlohmann::json::exception when a member is missing or of another type.
Workload workload_from_json(const nlohmann::json& json);

// The bytes that the region holds at the start: seeded or a file's. Throws std::system_error.
std::unique_ptr<Reader> open_content(const Workload& workload, uint64_t seed);

}  // namespace memsync
