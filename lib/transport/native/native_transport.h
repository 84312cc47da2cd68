// The native transport with its waiting times open to tests.
#pragma once

#include "lib/transport/transport.h"

namespace memsync {

// Waiting times of the native protocol.
struct NativeOptions {
  // A ping goes when nothing came, or nothing went, for so long.
  Nanoseconds ping_interval = std::chrono::seconds(1);
  // A peer from which nothing came for so long is gone. Long enough for one retransmission
  // timeout of TCP to back off twice, short enough that a run ends with a row.
  Nanoseconds dead_after = std::chrono::seconds(5);
};

class NativeTransport : public Transport {
 public:
  explicit NativeTransport(const NativeOptions& options = {}) : options_(options) {}
  std::string_view name() const noexcept override { return "native"; }
  std::unique_ptr<ServedRegion> serve(Network& network, std::string_view service_name,
                                      const Geometry& geometry, const RegionId& region,
                                      RegionService& service) const override;
  std::unique_ptr<RegionService> connect(Network& network, std::string_view host,
                                         std::string_view service_name, const Geometry& geometry,
                                         const RegionId& region, Deadline deadline) const override;
  RegionOffer inquire(Network& network, std::string_view host, std::string_view service_name,
                      Deadline deadline) const override;

 private:
  const NativeOptions options_;
};

}  // namespace memsync
