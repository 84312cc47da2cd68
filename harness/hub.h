// memsync hub: what one pushes, many receive.
#pragma once

#include <string>

#include "harness/tls_options.h"

namespace memsync {

struct HubOptions {
  std::string folder;
  std::string listen;  // "": 127.0.0.1:0
  std::string status;  // the address of a hub that is asked instead
  std::string topology = "dynamic";
  std::string compress = "off";
  bool durable = false;
  TlsOptions tls{};
  bool json = false;
};

// The first line on stdout is the address, every further one a version that is published or has
// been delivered; the rest is on stderr. Returns an exit code; throws std::invalid_argument for
// usage.
int hub_command(const HubOptions& options);

}  // namespace memsync
