#include "approaches/baselines/openssl_copy.h"

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>

#include "lib/os/error.h"
#include "lib/transport/tls/certificate_authority.h"
#include "lib/transport/tls/tls_credentials.h"

namespace memsync::openssl_copy {

namespace {

constexpr size_t kCallBytes = 16 << 10;

// Threads: one that reads and writes; shut_down() from any.
class OpensslStream : public Stream {
 public:
  OpensslStream(std::unique_ptr<Stream> plain, tls::SslHandle ssl)
      : plain_(std::move(plain)), ssl_(std::move(ssl)) {
    const int flags = ::fcntl(plain_->descriptor(), F_GETFL);
    check(::fcntl(plain_->descriptor(), F_SETFL, flags | O_NONBLOCK), "preparing a socket");
    tls::require(SSL_set_fd(ssl_.get(), plain_->descriptor()) == 1, "preparing OpenSSL");
    SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }

  std::optional<size_t> read_some(std::span<const iovec> into) override {
    return move(into.front(), SSL_read_ex, read_);
  }
  std::optional<size_t> write_some(std::span<const iovec> from) override {
    return move(from.front(), SSL_write_ex, written_);
  }
  int descriptor() const noexcept override { return plain_->descriptor(); }
  bool has_pending() const noexcept override { return SSL_pending(ssl_.get()) > 0; }
  void shut_down() noexcept override { plain_->shut_down(); }
  uint64_t bytes_read() const noexcept override { return read_; }
  uint64_t bytes_written() const noexcept override { return written_; }

 private:
  short events_for(short wanted) const noexcept override {
    if (SSL_want_read(ssl_.get())) return POLLIN;
    return SSL_want_write(ssl_.get()) ? POLLOUT : wanted;
  }

  template <typename Move>
  std::optional<size_t> move(const iovec& piece, Move call, std::atomic<uint64_t>& count) {
    ERR_clear_error();
    size_t moved = 0;
    const int result =
        call(ssl_.get(), piece.iov_base, std::min(piece.iov_len, kCallBytes), &moved);
    if (result == 1) {
      count += moved;
      return moved;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return std::nullopt;
    const bool has_ended = plain_ended(error);
    if (has_ended && &count == &read_) return 0;
    if (has_ended) throw_errno("writing to the peer by OpenSSL", EPIPE);
    throw_errno("OpenSSL's stream: " + tls::openssl_reason(), ECONNABORTED);
  }
  // Nobody says goodbye here.
  static bool plain_ended(int error) {
    return error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL ||
           ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  }

  const std::unique_ptr<Stream> plain_;
  const tls::SslHandle ssl_;
  std::atomic<uint64_t> read_{0}, written_{0};
};

// OpenSSL's defaults where ours differ: it reads record by record, and asks nobody who they are.
tls::SslHandle make_ssl(TlsCredentials& credentials) {
  tls::SslHandle made(SSL_new(credentials.context().get()));
  tls::require(made != nullptr, "preparing OpenSSL");
  SSL_set_verify(made.get(), SSL_VERIFY_NONE, nullptr);
  SSL_set_read_ahead(made.get(), 0);
  SSL_set_default_read_buffer_len(made.get(), 0);
  return made;
}

class OpensslListener : public Listener {
 public:
  OpensslListener(std::unique_ptr<Listener> plain, std::shared_ptr<TlsCredentials> credentials)
      : plain_(std::move(plain)), credentials_(std::move(credentials)) {}
  std::unique_ptr<Stream> accept(Deadline deadline) override {
    auto stream = plain_->accept(deadline);
    if (!stream) return nullptr;
    auto ssl = make_ssl(*credentials_);
    SSL_set_accept_state(ssl.get());
    return std::make_unique<OpensslStream>(std::move(stream), std::move(ssl));
  }
  void close() noexcept override { plain_->close(); }

 private:
  const std::unique_ptr<Listener> plain_;
  const std::shared_ptr<TlsCredentials> credentials_;
};

class OpensslNetwork : public Network {
 public:
  explicit OpensslNetwork(Network& plain) : plain_(plain) {}
  std::unique_ptr<Listener> listen(std::string_view service) override {
    return std::make_unique<OpensslListener>(plain_.listen(service), credentials_);
  }
  std::unique_ptr<Stream> connect(std::string_view host, std::string_view service,
                                  Deadline deadline) override {
    auto stream = plain_.connect(host, service, deadline);
    auto ssl = make_ssl(*credentials_);
    SSL_set_connect_state(ssl.get());
    return std::make_unique<OpensslStream>(std::move(stream), std::move(ssl));
  }
  std::string address(std::string_view host) const override { return plain_.address(host); }
  uint64_t bytes_received() const noexcept override { return plain_.bytes_received(); }
  uint64_t bytes_sent() const noexcept override { return plain_.bytes_sent(); }

 private:
  Network& plain_;
  const std::shared_ptr<TlsCredentials> credentials_ =
      TlsCredentials::from_pem(CertificateAuthority::make("openssl_copy").issue("openssl-copy"));
};

}  // namespace

std::unique_ptr<Network> make_openssl_network(Network& plain) {
  // OpenSSL writes by write(2); a peer that has gone is an error here, no signal.
  static const auto kIgnored = std::signal(SIGPIPE, SIG_IGN);
  static_cast<void>(kIgnored);
  return std::make_unique<OpensslNetwork>(plain);
}

OwnNetwork::OwnNetwork(Network* plain)
    : network(plain == nullptr ? nullptr : make_openssl_network(*plain)) {}

SideSetup OwnNetwork::in(SideSetup setup) const {
  setup.network = network.get();
  return setup;
}

}  // namespace memsync::openssl_copy
