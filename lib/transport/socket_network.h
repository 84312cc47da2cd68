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

// Listens on `address`; `on_close` runs once when the listener goes. `bound` becomes the address
// that was given where `address` leaves the port to the kernel.
std::unique_ptr<Listener> listen_on(const SocketAddress& address, const std::string& attempt,
                                    std::shared_ptr<ByteCounters> counters,
                                    std::function<void()> on_close = {},
                                    SocketAddress* bound = nullptr);

// A UNIX socket at `path`; throws ENAMETOOLONG beginning with `attempt`.
SocketAddress address_of_path(const std::string& path, const std::string& attempt);
// Listens there, in place of a socket that a killed process left behind; the path is removed when
// the listener goes.
std::unique_ptr<Listener> listen_at_path(const std::string& path,
                                         std::shared_ptr<ByteCounters> counters);

}  // namespace memsync
