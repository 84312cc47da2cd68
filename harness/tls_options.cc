#include "harness/tls_options.h"

#include <stdexcept>

namespace memsync {

std::optional<AccessPolicy> policy_of(const TlsOptions& options) {
  if (options.policy.empty()) return std::nullopt;
  if (!options.is_on())
    throw std::invalid_argument(
        "--policy needs --tls: without certificates nobody says who they are");
  return AccessPolicy::from_file(options.policy);
}

std::unique_ptr<Network> open_network(const std::string& address, const TlsOptions& options,
                                      std::function<void(const std::string&)> tell,
                                      TlsStream::Objection objection) {
  if (!options.is_on() && !options.peer_name.empty())
    throw std::invalid_argument("--tls-name needs --tls");
  auto network = make_address_network(address);
  if (!options.is_on()) return network;
  const std::string name = options.peer_name.empty() ? host_in_address(address) : options.peer_name;
  return make_tls_network(
      std::move(network), TlsCredentials::from_folder(options.folder, tell),
      {.peer_name = name, .objection = std::move(objection), .tell = std::move(tell)});
}

}  // namespace memsync
