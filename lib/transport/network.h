// The link as a side of an approach sees it: hosts by name, services by name, streams between.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "lib/os/clock.h"
#include "lib/transport/stream.h"

namespace memsync {

// Any number of streams; who may dial whom is the link's business (behind a NAT only one side
// can), not the strategy's. Hosts: "source", "destination0" ... and "hub" where a suite has one.
// Threads: every member from any thread.
class Network {
 public:
  virtual ~Network() = default;
  // Throws std::system_error (EADDRINUSE when the service is taken).
  virtual std::unique_ptr<Listener> listen(std::string_view service) = 0;
  // Tries until the deadline while nobody listens yet; throws std::system_error naming host and
  // service (ETIMEDOUT, EHOSTUNREACH ...).
  virtual std::unique_ptr<Stream> connect(std::string_view host, std::string_view service,
                                          Deadline deadline) = 0;
  // The host's address on the link, for peers that are programs of their own (rsync, nbdcopy).
  virtual std::string address(std::string_view host) const = 0;
  // Payload bytes of all streams made here so far.
  virtual uint64_t bytes_received() const noexcept = 0;
  virtual uint64_t bytes_sent() const noexcept = 0;
};

// Over TCP: each service has a fixed port made from its name (20000 + hash % 10000).
//   self       this host's name        addresses   IPv4 or IPv6 address of each host, self included
std::unique_ptr<Network> make_tcp_network(std::string self,
                                          std::map<std::string, std::string> addresses);
// The port of a service on such a network.
uint16_t tcp_port(std::string_view service) noexcept;
// One address as a person types it: HOST:PORT ([HOST]:PORT for IPv6; port 0 takes a free one) or
// unix:PATH. Whatever the host and the service are called, they are there; address() gives the one
// that listen() got. Throws std::invalid_argument for what is no address or not known.
std::unique_ptr<Network> make_address_network(const std::string& typed);
// Over UNIX sockets in `directory`, which exists: <directory>/<host>.<service>.
std::unique_ptr<Network> make_unix_network(std::string self, std::string directory);

}  // namespace memsync
