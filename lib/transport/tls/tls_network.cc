#include "lib/transport/tls/tls_network.h"

#include <array>
#include <netdb.h>
#include <sys/socket.h>

namespace memsync {

namespace {

// Of who has dialled, for words alone.
std::string address_of_peer(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      address.ss_family == AF_UNIX ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "the peer";
  return std::string("the peer at ") + host.data() + " port " + port.data();
}

class TlsListener : public Listener {
 public:
  TlsListener(std::unique_ptr<Listener> plain, std::shared_ptr<TlsCredentials> credentials,
              TlsPolicy policy, std::shared_ptr<ByteCounters> counters)
      : plain_(std::move(plain)),
        credentials_(std::move(credentials)),
        policy_(std::move(policy)),
        counters_(std::move(counters)) {}

  std::unique_ptr<Stream> accept(Deadline deadline) override {
    auto stream = plain_->accept(deadline);
    if (!stream) return nullptr;
    TlsStream::Setup setup{.context = credentials_->context(),
                           .role = TlsStream::Role::accepted,
                           .peer = address_of_peer(stream->descriptor()),
                           .objection = policy_.objection,
                           .tell = policy_.tell,
                           .counters = counters_};
    return std::make_unique<TlsStream>(std::move(stream), std::move(setup));
  }
  void close() noexcept override { plain_->close(); }

 private:
  const std::unique_ptr<Listener> plain_;
  const std::shared_ptr<TlsCredentials> credentials_;
  const TlsPolicy policy_;
  const std::shared_ptr<ByteCounters> counters_;
};

class TlsNetwork : public Network {
 public:
  TlsNetwork(std::unique_ptr<Network> plain, std::shared_ptr<TlsCredentials> credentials,
             TlsPolicy policy)
      : plain_(std::move(plain)),
        credentials_(std::move(credentials)),
        policy_(std::move(policy)) {}

  std::unique_ptr<Listener> listen(std::string_view service) override {
    return std::make_unique<TlsListener>(plain_->listen(service), credentials_, policy_, counters_);
  }

  std::unique_ptr<Stream> connect(std::string_view host, std::string_view service,
                                  Deadline deadline) override {
    const std::string name = policy_.peer_name.empty() ? std::string(host) : policy_.peer_name;
    TlsStream::Setup setup{.context = credentials_->context(),
                           .role = TlsStream::Role::dialled,
                           .peer = "'" + std::string(service) + "' of host '" + name + "'",
                           .host = name,
                           .counters = counters_};
    auto stream =
        std::make_unique<TlsStream>(plain_->connect(host, service, deadline), std::move(setup));
    stream->shake_hands(deadline);
    return stream;
  }

  std::string address(std::string_view host) const override { return plain_->address(host); }
  uint64_t bytes_received() const noexcept override { return counters_->received; }
  uint64_t bytes_sent() const noexcept override { return counters_->sent; }

 private:
  const std::unique_ptr<Network> plain_;
  const std::shared_ptr<TlsCredentials> credentials_;
  const TlsPolicy policy_;
  const std::shared_ptr<ByteCounters> counters_ = std::make_shared<ByteCounters>();
};

}  // namespace

std::unique_ptr<Network> make_tls_network(std::unique_ptr<Network> plain,
                                          std::shared_ptr<TlsCredentials> credentials,
                                          TlsPolicy policy) {
  return std::make_unique<TlsNetwork>(std::move(plain), std::move(credentials), std::move(policy));
}

std::string host_in_address(const std::string& typed) {
  if (typed.starts_with("unix:")) return "localhost";
  std::string host = typed.substr(0, typed.rfind(':'));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace memsync
