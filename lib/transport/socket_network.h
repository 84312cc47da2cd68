// What TCP and UNIX networks have in common: dialling and listening on a socket address.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>

#include "lib/transport/network.h"
#include "lib/transport/socket_stream.h"

namespace memsync {

using SocketAddress = boost::asio::generic::stream_protocol::endpoint;

// Dials until somebody listens there or the deadline passes, with a pause that grows from 1 to 50
// ms. Throws std::system_error beginning with `attempt`.
std::unique_ptr<Stream> dial(const SocketAddress& address, const std::string& attempt,
                             std::shared_ptr<ByteCounters> counters, Deadline deadline);

// Listens on `address`; `on_close` runs once when the listener goes (a UNIX path is unlinked).
std::unique_ptr<Listener> listen_on(const SocketAddress& address, const std::string& attempt,
                                    std::shared_ptr<ByteCounters> counters,
                                    std::function<void()> on_close = {});

}  // namespace memsync
