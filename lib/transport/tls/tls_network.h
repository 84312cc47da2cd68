// A network whose streams are inside TLS.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/transport/network.h"
#include "lib/transport/tls/tls_credentials.h"
#include "lib/transport/tls/tls_stream.h"

namespace memsync {

struct TlsPolicy {
  // The name that the certificate of a peer that is dialled must have; empty: the host's.
  std::string peer_name{};
  // Why somebody who is known may not connect, before anything else is done; "" who may. Called in
  // the threads that serve connections.
  TlsStream::Objection objection{};
  // Told, in such a thread, whom this end refused or could not understand, and why.
  std::function<void(const std::string&)> tell{};
};

// Every stream of `plain` becomes a TlsStream. connect() shakes hands before it returns, throws
// TlsError's codes then, and wants a certificate that names the host; what accept() returns has yet
// to, so that a stranger keeps nobody waiting. bytes_received() and bytes_sent() count payload.
std::unique_ptr<Network> make_tls_network(std::unique_ptr<Network> plain,
                                          std::shared_ptr<TlsCredentials> credentials,
                                          TlsPolicy policy = {});
// The host in an address as a person types it, HOST:PORT; "localhost" for unix:PATH.
std::string host_in_address(const std::string& typed);

}  // namespace memsync
