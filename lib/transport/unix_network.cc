#include <boost/asio/local/stream_protocol.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/transport/socket_network.h"

namespace memsync {

namespace {

// A person's own file is never taken for one that was left behind.
bool is_socket(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

bool somebody_listens(const SocketAddress& address) {
  const FileDescriptor probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  return ::connect(probe.get(), address.data(), static_cast<socklen_t>(address.size())) == 0 ||
         errno == EAGAIN;  // its backlog is full
}

class UnixNetwork : public Network {
 public:
  UnixNetwork(std::string self, std::string directory)
      : self_(std::move(self)), directory_(std::move(directory)) {}

  std::unique_ptr<Listener> listen(std::string_view service) override {
    return listen_at_path(path_of(self_, service), counters_);
  }

  std::unique_ptr<Stream> connect(std::string_view host, std::string_view service,
                                  Deadline deadline) override {
    const std::string path = path_of(host, service);
    const std::string attempt = "connecting to '" + std::string(service) + "' of host '" +
                                std::string(host) + "' at " + path;
    return dial(address_of_path(path, attempt), attempt, counters_, deadline);
  }

  std::string address(std::string_view host) const override {
    return directory_ + "/" + std::string(host);
  }

  uint64_t bytes_received() const noexcept override { return counters_->received; }
  uint64_t bytes_sent() const noexcept override { return counters_->sent; }

 private:
  std::string path_of(std::string_view host, std::string_view service) const {
    return address(host) + "." + std::string(service);
  }

  const std::string self_;
  const std::string directory_;
  const std::shared_ptr<ByteCounters> counters_ = std::make_shared<ByteCounters>();
};

}  // namespace

SocketAddress address_of_path(const std::string& path, const std::string& attempt) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) throw_errno(attempt, ENAMETOOLONG);
  return boost::asio::local::stream_protocol::endpoint(path);
}

std::unique_ptr<Listener> listen_at_path(const std::string& path,
                                         std::shared_ptr<ByteCounters> counters) {
  const std::string attempt = "listening on " + path;
  const SocketAddress address = address_of_path(path, attempt);
  const auto remove = [path] { ::unlink(path.c_str()); };
  try {
    return listen_on(address, attempt, counters, remove);
  } catch (const std::system_error& error) {
    if (error.code().value() != EADDRINUSE || !is_socket(path) || somebody_listens(address)) throw;
  }
  remove();  // left behind by a process that was killed
  return listen_on(address, attempt, counters, remove);
}

std::unique_ptr<Network> make_unix_network(std::string self, std::string directory) {
  return std::make_unique<UnixNetwork>(std::move(self), std::move(directory));
}

}  // namespace memsync
