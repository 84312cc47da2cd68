#include <boost/asio/ip/tcp.hpp>

#include "lib/os/error.h"
#include "lib/region/digest.h"
#include "lib/transport/socket_network.h"

namespace memsync {

namespace {

namespace ip = boost::asio::ip;

class TcpNetwork : public Network {
 public:
  TcpNetwork(std::string self, std::map<std::string, std::string> addresses)
      : self_(std::move(self)), addresses_(std::move(addresses)) {}

  std::unique_ptr<Listener> listen(std::string_view service) override {
    const std::string attempt =
        "listening for '" + std::string(service) + "' on host '" + self_ + "'";
    return listen_on(endpoint(self_, service, attempt), attempt, counters_);
  }

  std::unique_ptr<Stream> connect(std::string_view host, std::string_view service,
                                  Deadline deadline) override {
    const std::string attempt =
        "connecting to '" + std::string(service) + "' of host '" + std::string(host) + "'";
    return dial(endpoint(host, service, attempt), attempt, counters_, deadline);
  }

  std::string address(std::string_view host) const override {
    const auto found = addresses_.find(std::string(host));
    if (found == addresses_.end())
      throw_errno("looking up host '" + std::string(host) + "'", EHOSTUNREACH);
    return found->second;
  }

  uint64_t bytes_received() const noexcept override { return counters_->received; }
  uint64_t bytes_sent() const noexcept override { return counters_->sent; }

 private:
  SocketAddress endpoint(std::string_view host, std::string_view service,
                         const std::string& attempt) const {
    const std::string text = address(host);
    boost::system::error_code error;
    const ip::address parsed = ip::make_address(text, error);
    if (error) throw_errno(attempt + ": '" + text + "' is no IP address", EINVAL);
    return ip::tcp::endpoint(parsed, tcp_port(service));
  }

  const std::string self_;
  const std::map<std::string, std::string> addresses_;
  const std::shared_ptr<ByteCounters> counters_ = std::make_shared<ByteCounters>();
};

}  // namespace

uint16_t tcp_port(std::string_view service) noexcept {
  const uint64_t hash = hash64(std::as_bytes(std::span(service)));
  return static_cast<uint16_t>(20000 + hash % 10000);
}

std::unique_ptr<Network> make_tcp_network(std::string self,
                                          std::map<std::string, std::string> addresses) {
  return std::make_unique<TcpNetwork>(std::move(self), std::move(addresses));
}

}  // namespace memsync
