#include "harness/remote_region.h"

namespace memsync {

namespace {

constexpr Nanoseconds kConnectLimit = std::chrono::seconds(5);
constexpr std::string_view kService = "file";

RegionOffer ask(Network& network, const std::string& address) {
  try {
    return native_transport().inquire(network, address, kService, after(kConnectLimit));
  } catch (const std::system_error& problem) {
    throw SourceLost(std::string(problem.what()) + "; is `memsync serve FILE --listen " + address +
                     "` running there?");
  }
}

}  // namespace

RemoteRegion::RemoteRegion(const std::string& address)
    : address_(address), network_(make_address_network(address)), offer_(ask(*network_, address)) {}

std::unique_ptr<RegionService> RemoteRegion::connect() const {
  try {
    return native_transport().connect(*network_, address_, kService, offer_.geometry, offer_.region,
                                      after(kConnectLimit));
  } catch (const std::system_error& problem) {
    throw SourceLost(problem.what());
  }
}

}  // namespace memsync
