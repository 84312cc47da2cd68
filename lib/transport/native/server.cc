#include "lib/transport/native/server.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace memsync::native {

namespace asio = boost::asio;

namespace {

constexpr size_t kConnectionsMax = 256;

}  // namespace

Server::Server(std::unique_ptr<Listener> listener, const Geometry& geometry, const RegionId& region,
               RegionService& service, const NativeOptions& options)
    : listener_(std::move(listener)),
      geometry_(geometry),
      hello_(hello_of(geometry, region)),
      service_(service),
      options_(options) {
  watch();
  io_thread_ = std::jthread([this] { io_.run(); });
  acceptor_ = std::jthread([this] { accept_all(); });
}

Server::~Server() {
  listener_->close();
  acceptor_.join();
  asio::post(io_, [this] {
    ending_ = true;
    for (const auto& connection : connections_) connection->close();
    forget_finished();
  });
  io_thread_.join();  // ends when the service has let go of every connection
  controls_.join();
}

void Server::accept_all() {
  while (true) {
    try {
      auto stream = listener_->accept(Deadline::max());
      if (stream == nullptr) return;
      // std::function and asio's handlers are copied, a stream is not.
      asio::post(io_, [this, shared = std::make_shared<std::unique_ptr<Stream>>(
                                 std::move(stream))] { add(std::move(*shared)); });
    } catch (const std::system_error&) {
      // One connection that could not be made (too many open files, reset before it was taken).
      // The pause keeps a lasting shortage from becoming a busy loop.
      sleep_until_deadline(after(std::chrono::milliseconds(10)));
    }
  }
}

void Server::add(std::unique_ptr<Stream> stream) {
  if (ending_ || connections_.size() >= kConnectionsMax) return;
  connections_.push_back(
      std::make_shared<ServerConnection>(static_cast<ConnectionOwner&>(*this), std::move(stream)));
  connections_.back()->start();
}

void Server::watch() {
  // Clients ping each second; one that says nothing for twice the limit is gone.
  const Deadline since = Clock::now() - 2 * options_.dead_after;
  for (const auto& connection : connections_) connection->close_if_silent(since);
  forget_finished();
  if (ending_ && connections_.empty()) return;
  watch_timer_.expires_after(options_.dead_after / 4);
  watch_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) watch();
  });
}

void Server::forget_finished() {
  std::erase_if(connections_, [](const auto& connection) { return connection->finished(); });
  if (!ending_ || !connections_.empty()) return;
  work_.reset();  // the last handler has run or is running: the loop ends
  watch_timer_.cancel();
}

void Server::run_control(Kind kind, std::function<void()> work, std::function<void()> then) {
  Control control{std::move(work), std::move(then)};
  const bool is_fence = kind == Kind::suspend_and_collect;
  if (is_fence) ++fences_;
  if (is_fence && writes_ > 0) {
    fencing_.push_back(std::move(control));
  } else {
    start_control(std::move(control), is_fence);
  }
}

void Server::start_control(Control control, bool is_fence) {
  asio::post(controls_, [this, control = std::move(control), is_fence] {
    control.work();
    asio::post(io_, [this, then = control.then, is_fence] {
      if (is_fence) --fences_;
      then();
    });
  });
}

void Server::write_ended() {
  if (--writes_ > 0) return;
  for (auto& control : fencing_) start_control(std::move(control), true);
  fencing_.clear();
}

}  // namespace memsync::native
