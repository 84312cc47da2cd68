// memsync pull: a served region as memory of a program, as a file, or for whoever hands faults
// over.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "approaches/userfaultfd/fault_server.h"
#include "harness/interrupt.h"
#include "harness/remote_region.h"

namespace memsync {

struct PullOptions {
  std::string address;  // what `memsync serve` printed, or an object on the web (http, https)
  // One of these three.
  std::vector<std::string> command{};
  std::string out{};
  std::string socket{};

  std::string dialect = "memsync";              // of the socket, or userfaultfd-go
  std::map<std::string, std::string> faults{};  // options of userfaultfd, by name
  TlsOptions tls{};
  bool json = false;
};

// Returns an exit code: that of the command, or ours. Throws std::invalid_argument for usage.
int pull_command(const PullOptions& options);

// Everything into a file that is there whole or not at all (pull_file.cc).
int pull_into_file(const RemoteRegion& region, const userfaultfd::Settings& settings,
                   const PullOptions& options, InterruptWatch& interrupts);
// A program with the region in its memory (pull_program.cc).
int pull_for_program(userfaultfd::ServedFaults served, const PullOptions& options,
                     InterruptWatch& interrupts);

}  // namespace memsync
