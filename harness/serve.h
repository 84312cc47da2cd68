// memsync serve: a file's bytes, or another reader's, as a region for whoever asks, until Ctrl-C.
#pragma once

#include <cstdint>
#include <string>

#include "harness/tls_options.h"

namespace memsync {

struct ServeOptions {
  std::string name;  // a file's path, or a name of open_reader(): a file called `zero` is ./zero
  uint64_t size_bytes = 0;  // of memory, zero and pattern, which have none of their own; else 0
  uint64_t seed = 1;        // of pattern
  std::string listen = "127.0.0.1:0";
  TlsOptions tls{};
  bool json = false;
};

// The first line on stdout is the address; everything else is on stderr. Returns an exit code;
// throws std::invalid_argument for what can't be served and an address that can't be had.
int serve_command(const ServeOptions& options);

}  // namespace memsync
