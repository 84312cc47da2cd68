// memsync hub --status: who has what, asked of a hub that runs.
#pragma once

#include "harness/hub.h"

namespace memsync {

// Prints a table, or the hub's JSON as it is. Returns an exit code; throws std::invalid_argument
// for what is no address.
int hub_status_command(const HubOptions& options);

}  // namespace memsync
