// memsync receive HUB DIR: a folder that dials a hub and has what is published there.
#pragma once

#include <stop_token>

#include "harness/receive.h"

namespace memsync {

// Until the stop is requested, or with `once` everything that the hub had has come. Returns an exit
// code; throws std::invalid_argument for what is no address.
int receive_from_hub(const ReceiveOptions& options, const std::stop_token& cancelled);

}  // namespace memsync
