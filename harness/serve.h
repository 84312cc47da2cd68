// memsync serve: a file's bytes as a region for whoever asks, until Ctrl-C.
#pragma once

#include <string>

namespace memsync {

struct ServeOptions {
  std::string file;
  std::string listen = "127.0.0.1:0";
  bool json = false;
};

// The first line on stdout is the address; everything else is on stderr. Returns an exit code;
// throws std::invalid_argument for a file that can't be served and an address that can't be had.
int serve_command(const ServeOptions& options);

}  // namespace memsync
