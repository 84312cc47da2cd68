// tcp_copy over OpenSSL's own stream: the ceiling that TLS of ours is measured against.
#pragma once

#include <memory>

#include "approaches/baselines/tcp_copy.h"
#include "lib/transport/network.h"

namespace memsync::openssl_copy {

// Streams by SSL_write and SSL_read of at most 16 KiB a call, as a program of a few lines does it:
// TLS 1.3 and ciphers as everywhere here, a certificate made on the spot, nobody checks whose.
// `plain` outlives it; descriptors that it gives are used by OpenSSL itself.
std::unique_ptr<Network> make_openssl_network(Network& plain);

// A side of tcp_copy with the network that it uses.
struct OwnNetwork {
  explicit OwnNetwork(Network* plain);
  SideSetup in(SideSetup setup) const;
  std::unique_ptr<Network> network;  // null without a plain one
};

template <typename Copy>
class OverOpenssl : private OwnNetwork, public Copy {
 public:
  explicit OverOpenssl(SideSetup setup)
      : OwnNetwork(setup.network), Copy(OwnNetwork::in(std::move(setup))) {}
};
using SourceSide = OverOpenssl<tcp_copy::SourceSide>;
using DestinationSide = OverOpenssl<tcp_copy::DestinationSide>;

}  // namespace memsync::openssl_copy
