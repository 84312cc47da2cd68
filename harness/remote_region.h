// A region that `memsync serve` offers somewhere, or an object on the web as one.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "harness/tls_options.h"
#include "lib/backend/backend.h"
#include "lib/transport/transport.h"

namespace memsync {

// The server can't be reached or has gone: what was to come from it is missing.
struct SourceLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Threads: any.
class RemoteRegion {
 public:
  // Asks what is served at `address`, or what object is there (http://…, https://…). Throws
  // std::invalid_argument for what is no address and SourceLost with the next step.
  explicit RemoteRegion(const std::string& address, const TlsOptions& tls = {});

  // A connection of its own. Throws SourceLost.
  std::unique_ptr<RegionService> connect() const;
  uint64_t size_bytes() const noexcept { return offer_.geometry.size_bytes; }
  const std::string& address() const noexcept { return address_; }

 private:
  const std::string address_;
  const std::unique_ptr<Reader> object_;  // on the web; else null, and network_ is not
  const std::unique_ptr<Network> network_;
  const RegionOffer offer_;
};

}  // namespace memsync
