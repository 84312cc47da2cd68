#include "lib/transport/socket_stream.h"

#include <algorithm>
#include <limits.h>
#include <sys/socket.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

msghdr message_of(std::span<const iovec> pieces) noexcept {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min<size_t>(pieces.size(), IOV_MAX);
  return message;
}

bool would_block() noexcept {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

std::optional<size_t> SocketStream::read_some(std::span<const iovec> into) {
  msghdr message = message_of(into);
  const ssize_t moved = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  if (moved < 0) {
    if (would_block()) return std::nullopt;
    throw_errno("reading from the peer");
  }
  const auto bytes = static_cast<size_t>(moved);
  read_.fetch_add(bytes, std::memory_order_relaxed);
  counters_->received.fetch_add(bytes, std::memory_order_relaxed);
  return bytes;
}

std::optional<size_t> SocketStream::write_some(std::span<const iovec> from) {
  msghdr message = message_of(from);
  const ssize_t moved = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (moved < 0) {
    if (would_block()) return std::nullopt;
    throw_errno("writing to the peer");
  }
  const auto bytes = static_cast<size_t>(moved);
  written_.fetch_add(bytes, std::memory_order_relaxed);
  counters_->sent.fetch_add(bytes, std::memory_order_relaxed);
  return bytes;
}

void SocketStream::shut_down() noexcept {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace memsync
