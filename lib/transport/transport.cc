#include "lib/transport/transport.h"

namespace memsync {

RegionOffer Transport::inquire(Network&, std::string_view host, std::string_view service_name,
                               Deadline) const {
  throw std::system_error(ENOTSUP, std::generic_category(),
                          "asking host '" + std::string(host) + "' what '" +
                              std::string(service_name) + "' is, by transport " +
                              std::string(name()));
}

}  // namespace memsync
