// One host of a campaign: opens its side of an approach and runs its share of the workload.
#pragma once

#include <string>

#include "harness/control_channel.h"

namespace memsync {

// Serves one conductor until it closes the channel. Every failure of a command is its answer
// ({"ok": false, "error": ...}); returns the process's exit code.
//   shared_memory   number of an inherited memory file for approaches that share memory; -1: none
int run_agent(ControlChannel channel, int shared_memory);

// Listens on "HOST:PORT" for conductors, one after the other, for ever. A conductor must first send
// the token; whoever does not is hung up on. Prints the address and how to use it.
int listen_as_agent(const std::string& address, const std::string& token);

}  // namespace memsync
