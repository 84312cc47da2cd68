// What this machine can and cannot run, each with the next step.
#pragma once

#include <nlohmann/json.hpp>

namespace memsync {

// {"ok": bool, "checks": [{"name", "state": "ok|missing|limited", "detail", "next_step",
// "needed_by"}]} `ok`: at least one approach can run over at least one link engine. Leaves no
// trace.
nlohmann::json examine_machine();

}  // namespace memsync
