// memsync receive: a folder that `memsync push` or a hub brings files to, until Ctrl-C.
#pragma once

#include <string>
#include <vector>

#include "harness/tls_options.h"

namespace memsync {

struct ReceiveOptions {
  std::vector<std::string> words;    // the folder; or a hub's address and the folder
  std::string listen;                // "": 127.0.0.1:0
  std::string publish = "versions";  // or in_place
  bool durable = false;
  bool once = false;  // until the first pusher has ended, or everything of the hub has come
  std::string patience = "60s";  // with a hub that stays away
  TlsOptions tls{};
  bool json = false;
};

// The first line on stdout is the address, where there is one, every further one a version that
// readers see; the rest is on stderr. Returns an exit code; throws std::invalid_argument for a
// folder that can't be used and an address that can't be had.
int receive_command(const ReceiveOptions& options);

}  // namespace memsync
