// memsync receive: a folder that `memsync push` brings files to, until Ctrl-C.
#pragma once

#include <string>

namespace memsync {

struct ReceiveOptions {
  std::string folder;
  std::string listen = "127.0.0.1:0";
  std::string publish = "versions";  // or in_place
  bool durable = false;
  bool once = false;  // until the first pusher has ended
  bool json = false;
};

// The first line on stdout is the address, every further one a version that readers see; the rest
// is on stderr. Returns an exit code; throws std::invalid_argument for a folder that can't be
// used and an address that can't be had.
int receive_command(const ReceiveOptions& options);

}  // namespace memsync
