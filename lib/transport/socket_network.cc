#include "lib/transport/socket_network.h"

#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <sys/socket.h>

#include "lib/os/error.h"

namespace memsync {

namespace asio = boost::asio;

namespace {

using Protocol = asio::generic::stream_protocol;
using boost::system::error_code;

std::unique_ptr<Stream> stream_of(Protocol::socket socket, std::shared_ptr<ByteCounters> counters) {
  FileDescriptor number{socket.release()};
  // Requests are small and somebody waits for each; on UNIX sockets this fails and doesn't matter.
  const int on = 1;
  ::setsockopt(number.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return std::make_unique<SocketStream>(std::move(number), std::move(counters));
}

// Whether somebody may yet begin to listen at the address that answered so.
bool nobody_yet(const error_code& error) {
  const int value = error.value();
  return value == ECONNREFUSED || value == ENOENT || value == EAGAIN || value == ECONNRESET ||
         value == ETIMEDOUT;
}

class SocketListener : public Listener {
 public:
  SocketListener(const SocketAddress& address, const std::string& attempt,
                 std::shared_ptr<ByteCounters> counters)
      : attempt_(attempt), counters_(std::move(counters)) {
    error_code error;
    acceptor_.open(address.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(address, error);
    if (!error) acceptor_.listen(128, error);
    if (error) throw_errno(attempt_, error.value());
  }
  ~SocketListener() override {
    if (on_close_) on_close_();
  }
  SocketListener(const SocketListener&) = delete;
  SocketListener& operator=(const SocketListener&) = delete;

  SocketAddress bound() const { return acceptor_.local_endpoint(); }
  void set_on_close(std::function<void()> on_close) { on_close_ = std::move(on_close); }

  std::unique_ptr<Stream> accept(Deadline deadline) override {
    io_.restart();
    // close() sets the flag before it stops io_: either it is seen here or run_until() ends at
    // once.
    if (closed_) return nullptr;
    std::optional<error_code> result;
    Protocol::socket socket(io_);
    acceptor_.async_accept(socket, [&result](const error_code& error) { result = error; });
    io_.run_until(deadline);
    if (!result) {  // the deadline or close(): take the operation back before its variables go
      acceptor_.cancel();
      io_.restart();
      io_.run();
    }
    if (result && !*result) return stream_of(std::move(socket), counters_);
    if (closed_) return nullptr;
    throw_errno(attempt_,
                result && *result != asio::error::operation_aborted ? result->value() : ETIMEDOUT);
  }

  void close() noexcept override {
    closed_ = true;
    io_.stop();
  }

 private:
  const std::string attempt_;
  std::shared_ptr<ByteCounters> counters_;
  std::function<void()> on_close_;
  std::atomic<bool> closed_{false};
  asio::io_context io_{1};
  asio::basic_socket_acceptor<Protocol> acceptor_{io_};
};

}  // namespace

std::unique_ptr<Stream> dial(const SocketAddress& address, const std::string& attempt,
                             std::shared_ptr<ByteCounters> counters, Deadline deadline) {
  asio::io_context io(1);
  asio::steady_timer pause(io);
  Nanoseconds backoff = std::chrono::milliseconds(1);
  error_code last = asio::error::timed_out;
  while (Clock::now() < deadline) {
    Protocol::socket socket(io);
    std::optional<error_code> result;
    socket.async_connect(address, [&result](const error_code& error) { result = error; });
    io.restart();
    io.run_until(deadline);
    if (!result) break;
    // A UNIX listener with a full backlog says EAGAIN, which Asio takes for a connection on its
    // way.
    error_code unconnected;
    if (!*result) socket.remote_endpoint(unconnected);
    if (unconnected) result = error_code(EAGAIN, boost::system::system_category());
    if (!*result) return stream_of(std::move(socket), std::move(counters));
    last = *result;
    if (!nobody_yet(last)) throw_errno(attempt, last.value());
    pause.expires_at(std::min(deadline, after(backoff)));
    pause.wait();
    backoff = std::min<Nanoseconds>(backoff * 2, std::chrono::milliseconds(50));
  }
  throw_errno(attempt + " (last: " + last.message() + ")", ETIMEDOUT);
}

std::unique_ptr<Listener> listen_on(const SocketAddress& address, const std::string& attempt,
                                    std::shared_ptr<ByteCounters> counters,
                                    std::function<void()> on_close, SocketAddress* bound) {
  auto listener = std::make_unique<SocketListener>(address, attempt, std::move(counters));
  if (bound != nullptr) *bound = listener->bound();
  listener->set_on_close(std::move(on_close));
  return listener;
}

}  // namespace memsync
