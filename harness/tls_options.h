// What the verbs outside a campaign know of TLS: --tls, --policy, --tls-name.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "harness/access_policy.h"
#include "lib/transport/tls/tls_network.h"

namespace memsync {

struct TlsOptions {
  std::string folder{};     // ca.pem, cert.pem, key.pem, crl.pem; empty: no TLS
  std::string policy{};     // serving verbs: a file as of AccessPolicy; empty: all of the CA may
  std::string peer_name{};  // dialling verbs: whom to expect; empty: the host that is dialled

  bool is_on() const noexcept { return !folder.empty(); }
};

// Nothing without --policy. Throws std::invalid_argument for one without TLS, too.
std::optional<AccessPolicy> policy_of(const TlsOptions& options);
// Streams to an address, or from there, inside TLS if that is asked for. `objection` and `tell` are
// TlsPolicy's; `tell` hears of credentials that can't be used, too. Throws std::invalid_argument.
std::unique_ptr<Network> open_network(const std::string& address, const TlsOptions& options,
                                      std::function<void(const std::string&)> tell,
                                      TlsStream::Objection objection = {});

}  // namespace memsync
