#include <array>
#include <charconv>
#include <netdb.h>
#include <stdexcept>
#include <sys/socket.h>

#include "lib/os/error.h"
#include "lib/os/mutex.h"
#include "lib/transport/socket_network.h"

namespace memsync {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

[[noreturn]] void refuse(const std::string& typed, const std::string& why) {
  throw std::invalid_argument("'" + typed + "' is no address" + why +
                              ": write HOST:PORT or unix:PATH");
}

// getaddrinfo(3) takes 65537 for 1.
bool is_port(const std::string& text) {
  uint16_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && stop == end;
}

SocketAddress resolve(const std::string& typed) {
  const size_t colon = typed.rfind(':');
  if (colon == std::string::npos || colon == 0) refuse(typed, "");
  const std::string port = typed.substr(colon + 1);
  if (!is_port(port)) refuse(typed, " ('" + port + "' is no port, 0 to 65535)");
  std::string host = typed.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) refuse(typed, std::string(" (") + ::gai_strerror(error) + ")");
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  return {found->ai_addr, found->ai_addrlen};
}

std::string text_of(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  const int error =
      ::getnameinfo(address.data(), static_cast<socklen_t>(address.size()), host.data(),
                    host.size(), port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) throw_errno("naming an address", EINVAL);
  const bool six = address.data()->sa_family == AF_INET6;
  return (six ? "[" : "") + std::string(host.data()) + (six ? "]:" : ":") + port.data();
}

class AddressNetwork : public Network {
 public:
  explicit AddressNetwork(const std::string& typed) : typed_(typed), bound_(typed) {
    if (typed.starts_with(kUnixPrefix))
      path_ = typed.substr(kUnixPrefix.size());
    else
      address_ = resolve(typed);
    if (typed == kUnixPrefix) refuse(typed, "");
  }

  std::unique_ptr<Listener> listen(std::string_view) override {
    if (!path_.empty()) return listen_at_path(path_, counters_);
    SocketAddress bound;
    auto listener = listen_on(address_, "listening at " + typed_, counters_, {}, &bound);
    MutexLock lock(mutex_);
    bound_ = text_of(bound);
    return listener;
  }

  std::unique_ptr<Stream> connect(std::string_view, std::string_view, Deadline deadline) override {
    const std::string attempt = "connecting to " + typed_;
    return dial(path_.empty() ? address_ : address_of_path(path_, attempt), attempt, counters_,
                deadline);
  }

  std::string address(std::string_view) const override {
    MutexLock lock(mutex_);
    return bound_;
  }

  uint64_t bytes_received() const noexcept override { return counters_->received; }
  uint64_t bytes_sent() const noexcept override { return counters_->sent; }

 private:
  const std::string typed_;
  std::string path_;       // of a UNIX socket
  SocketAddress address_;  // otherwise
  mutable Mutex mutex_;
  std::string bound_ GUARDED_BY(mutex_);
  const std::shared_ptr<ByteCounters> counters_ = std::make_shared<ByteCounters>();
};

}  // namespace

std::unique_ptr<Network> make_address_network(const std::string& typed) {
  return std::make_unique<AddressNetwork>(typed);
}

}  // namespace memsync
