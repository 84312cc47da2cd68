#include "lib/transport/native/native_transport.h"

#include <cstring>

#include "lib/transport/native/client.h"
#include "lib/transport/native/server.h"

namespace memsync {

using native::Hello;

namespace {

std::string peer_name(std::string_view host, std::string_view service) {
  return "'" + std::string(service) + "' of host '" + std::string(host) + "'";
}

// Sends our hello and takes the peer's; throws when they don't agree.
void shake_hands(Stream& stream, const Hello& ours, const std::string& peer, Deadline deadline) {
  stream.write_all(std::as_bytes(std::span(&ours, 1)), deadline);
  Hello theirs;
  const auto bytes = std::as_writable_bytes(std::span(&theirs, 1));
  stream.read_all(bytes.first(sizeof theirs.magic), deadline);
  if (theirs.magic != Hello::kMagic)
    throw std::system_error(make_error_code(RegionError::malformed),
                            peer + " speaks another protocol");
  stream.read_all(bytes.subspan(sizeof theirs.magic, native::kHelloPrefix - sizeof theirs.magic),
                  deadline);
  const bool same_version = theirs.version == ours.version;
  if (same_version && theirs.hello_bytes != sizeof theirs)
    throw std::system_error(make_error_code(RegionError::malformed),
                            peer + " sent a hello of another length");
  if (same_version) stream.read_all(bytes.subspan(native::kHelloPrefix), deadline);
  const std::string difference = native::difference(ours, theirs, true);
  if (difference.empty() && theirs.refused == 0) return;
  throw std::system_error(make_error_code(RegionError::refused),
                          peer + " serves another region: " +
                              (difference.empty() ? "it does not say which" : difference));
}

void check_geometry(const Geometry& geometry) {
  const std::string problem = geometry_problem(geometry);
  if (!problem.empty()) throw std::invalid_argument(problem);
}

}  // namespace

std::unique_ptr<ServedRegion> NativeTransport::serve(Network& network,
                                                     std::string_view service_name,
                                                     const Geometry& geometry,
                                                     const RegionId& region,
                                                     RegionService& service) const {
  check_geometry(geometry);
  return std::make_unique<native::Server>(network.listen(service_name), geometry, region, service,
                                          options_);
}

std::unique_ptr<RegionService> NativeTransport::connect(Network& network, std::string_view host,
                                                        std::string_view service_name,
                                                        const Geometry& geometry,
                                                        const RegionId& region,
                                                        Deadline deadline) const {
  check_geometry(geometry);
  auto stream = network.connect(host, service_name, deadline);
  shake_hands(*stream, native::hello_of(geometry, region), peer_name(host, service_name), deadline);
  return std::make_unique<native::Client>(std::move(stream), geometry, region.epoch, options_);
}

const Transport& native_transport() noexcept {
  static const NativeTransport kTransport;
  return kTransport;
}

}  // namespace memsync
