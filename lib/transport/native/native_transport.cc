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

// Sends our hello and takes the peer's, of which only the prefix is meant when its version differs.
Hello exchange_hellos(Stream& stream, const Hello& ours, const std::string& peer,
                      Deadline deadline) {
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
  return theirs;
}

[[noreturn]] void throw_refused(const std::string& peer, const std::string& difference) {
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
  const std::string peer = peer_name(host, service_name);
  const Hello ours = native::hello_of(geometry, region);
  const Hello theirs = exchange_hellos(*stream, ours, peer, deadline);
  const std::string difference = native::difference(ours, theirs, true);
  if (!difference.empty() || theirs.refused != 0) throw_refused(peer, difference);
  return std::make_unique<native::Client>(std::move(stream), geometry, region.epoch, options_);
}

// No region has 0 bytes, so a server of any version refuses such a hello, and says what it has.
RegionOffer NativeTransport::inquire(Network& network, std::string_view host,
                                     std::string_view service_name, Deadline deadline) const {
  const std::string peer = peer_name(host, service_name);
  const auto stream = network.connect(host, service_name, deadline);
  Hello question;
  question.size_bytes = 0;
  const Hello answer = exchange_hellos(*stream, question, peer, deadline);
  if (answer.version != question.version)
    throw_refused(peer, native::difference(question, answer, true));
  const RegionOffer offer{.geometry = {answer.size_bytes, answer.chunk_bytes},
                          .region = {answer.id, answer.epoch}};
  std::string problem = geometry_problem(offer.geometry);
  if (offer.geometry.size_bytes > native::kRegionBytesMax) problem = "no address space holds it";
  if (!problem.empty())
    throw std::system_error(make_error_code(RegionError::malformed),
                            peer + " offers a region of " + std::to_string(answer.size_bytes) +
                                " bytes in chunks of " + std::to_string(answer.chunk_bytes) + ": " +
                                problem);
  return offer;
}

const Transport& native_transport() noexcept {
  static const NativeTransport kTransport;
  return kTransport;
}

}  // namespace memsync
