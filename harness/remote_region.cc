#include "harness/remote_region.h"

#include "lib/backend/open_reader.h"
#include "lib/os/mapping.h"
#include "lib/transport/local_region.h"

namespace memsync {

namespace {

constexpr Nanoseconds kConnectLimit = std::chrono::seconds(5);
constexpr std::string_view kService = "file";

std::unique_ptr<Reader> object_at(const std::string& address) {
  if (!address.starts_with("http://") && !address.starts_with("https://")) return nullptr;
  try {
    auto object = open_reader(address, 0, 0);
    if (object->size_bytes() == 0) throw std::invalid_argument("the object is empty");
    return object;
  } catch (const std::system_error& problem) {
    throw SourceLost(problem.what());
  }
}

RegionOffer ask(Network& network, const std::string& address) {
  try {
    return native_transport().inquire(network, address, kService, after(kConnectLimit));
  } catch (const std::system_error& problem) {
    if (problem.code().category() == tls_category()) throw SourceLost(problem.what());
    throw SourceLost(std::string(problem.what()) + "; is `memsync serve FILE --listen " + address +
                     "` running there?");
  }
}

RegionOffer offer_of(const Reader& object) {
  RegionOffer offer;
  offer.geometry = {.size_bytes = object.size_bytes(), .chunk_bytes = page_bytes()};
  return offer;
}

}  // namespace

RemoteRegion::RemoteRegion(const std::string& address, const TlsOptions& tls)
    : address_(address),
      object_(object_at(address)),
      network_(object_ ? nullptr : open_network(address, tls, {})),
      offer_(object_ ? offer_of(*object_) : ask(*network_, address)) {}

std::unique_ptr<RegionService> RemoteRegion::connect() const {
  if (object_)
    return std::make_unique<LocalRegion>(*object_, nullptr, offer_.region, LocalRegion::Hooks{});
  try {
    return native_transport().connect(*network_, address_, kService, offer_.geometry, offer_.region,
                                      after(kConnectLimit));
  } catch (const std::system_error& problem) {
    throw SourceLost(problem.what());
  }
}

}  // namespace memsync
