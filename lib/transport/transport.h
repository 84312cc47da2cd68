// A transport: one way to carry a RegionService between hosts. Native today; others implement this.
#pragma once

#include <memory>
#include <string_view>

#include "lib/region/geometry.h"
#include "lib/transport/network.h"
#include "lib/transport/region_service.h"

namespace memsync {

// A region that is being served; destroying it stops listening, closes its connections and waits
// until no call into the service is under way.
class ServedRegion {
 public:
  virtual ~ServedRegion() = default;
};

// What a server serves, for whoever does not know it yet.
struct RegionOffer {
  Geometry geometry;
  RegionId region;
};

// Stateless. Threads: any.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::string_view name() const noexcept = 0;  // as in the column `transport`
  // Answers whoever connects to `service_name` on this host and agrees on geometry and region id.
  // `service` outlives the result.
  virtual std::unique_ptr<ServedRegion> serve(Network& network, std::string_view service_name,
                                              const Geometry& geometry, const RegionId& region,
                                              RegionService& service) const = 0;
  // Connects and shakes hands. Throws std::system_error; when the peer disagrees the message names
  // both values (RegionError::refused). `network` outlives the result.
  virtual std::unique_ptr<RegionService> connect(Network& network, std::string_view host,
                                                 std::string_view service_name,
                                                 const Geometry& geometry, const RegionId& region,
                                                 Deadline deadline) const = 0;
  // Asks what is served there; connect() with the answer comes next. Throws std::system_error:
  // ENOTSUP where the transport can't ask, malformed when no region is like the answer.
  virtual RegionOffer inquire(Network& network, std::string_view host,
                              std::string_view service_name, Deadline deadline) const;
};

// The lean binary protocol of lib/transport/README.md.
const Transport& native_transport() noexcept;

}  // namespace memsync
