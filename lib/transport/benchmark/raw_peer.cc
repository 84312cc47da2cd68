#include <array>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <thread>

#include "lib/os/error.h"
#include "lib/transport/benchmark/read_peer.h"

namespace memsync::benchmarks {

std::pair<FileDescriptor, FileDescriptor> connected_sockets(Wire wire) {
  if (wire == Wire::unix_socket) return FileDescriptor::socket_pair();
  const FileDescriptor listener{check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  check(::bind(listener.get(), generic, size), "bind");
  check(::listen(listener.get(), 1), "listen");
  check(::getsockname(listener.get(), generic, &size), "getsockname");
  FileDescriptor client{check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")};
  check(::connect(client.get(), generic, size), "connect");
  FileDescriptor server{check(::accept(listener.get(), nullptr, nullptr), "accept")};
  const int on = 1;
  for (const auto* socket : {&client, &server})
    ::setsockopt(socket->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return {std::move(client), std::move(server)};
}

namespace {

struct RawHeader {
  uint64_t offset;
  std::byte rest[kHeaderBytes - 8];
};
static_assert(sizeof(RawHeader) == kHeaderBytes);

void send_all(int socket, std::span<iovec> pieces) {
  while (!pieces.empty()) {
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    auto moved = static_cast<size_t>(check(::sendmsg(socket, &message, MSG_NOSIGNAL), "sending"));
    while (!pieces.empty() && moved >= pieces[0].iov_len) {
      moved -= pieces[0].iov_len;
      pieces = pieces.subspan(1);
    }
    if (moved == 0) continue;
    pieces[0] = {static_cast<std::byte*>(pieces[0].iov_base) + moved, pieces[0].iov_len - moved};
  }
}

// Receives into a buffer and hands over whole frames of `frame_bytes`.
class FrameSource {
 public:
  FrameSource(int socket, size_t frame_bytes)
      : socket_(socket), frame_bytes_(frame_bytes), buffer_(320U << 10) {}
  // Blocks until there is a whole one; empty when the other end is closed.
  std::span<const std::byte> frames() {
    std::memmove(buffer_.data(), buffer_.data() + used_, filled_ - used_);
    filled_ -= used_;
    do {
      const auto moved = ::recv(socket_, buffer_.data() + filled_, buffer_.size() - filled_, 0);
      if (moved <= 0) return {};
      filled_ += static_cast<size_t>(moved);
    } while (filled_ < frame_bytes_);
    used_ = filled_ / frame_bytes_ * frame_bytes_;
    return std::span(buffer_).first(used_);
  }

 private:
  const int socket_;
  const size_t frame_bytes_;
  std::vector<std::byte> buffer_;
  size_t filled_ = 0;
  size_t used_ = 0;
};

class RawPeer : public ReadPeer {
 public:
  explicit RawPeer(Wire wire) {
    std::tie(client_, server_) = connected_sockets(wire);
    thread_ = std::jthread([this] { serve(); });
  }
  ~RawPeer() override { ::shutdown(client_.get(), SHUT_RDWR); }

  void read(size_t count, size_t in_flight) override {
    FrameSource source(client_.get(), kHeaderBytes + kReadBytes);
    std::vector<std::byte> into(in_flight * kReadBytes);
    size_t asked = 0, answered = 0;
    ask(std::min(count, in_flight), asked);
    while (answered < count) {
      auto frames = source.frames();
      const size_t got = frames.size() / (kHeaderBytes + kReadBytes);
      for (size_t i = 0; i < got; ++i, ++answered)
        std::memcpy(into.data() + answered % in_flight * kReadBytes,
                    frames.data() + i * (kHeaderBytes + kReadBytes) + kHeaderBytes, kReadBytes);
      ask(std::min(count - asked, got), asked);
    }
  }

 private:
  void ask(size_t count, size_t& asked) {
    if (count == 0) return;
    headers_.resize(count);
    for (auto& header : headers_) header.offset = draw_offset(draws_);
    iovec piece{headers_.data(), count * sizeof(RawHeader)};
    send_all(client_.get(), {&piece, 1});
    asked += count;
  }
  void serve() {
    FrameSource source(server_.get(), kHeaderBytes);
    const auto memory = region().readable_memory();
    std::array<iovec, 512> pieces;
    while (true) {
      const auto frames = source.frames();
      if (frames.empty()) return;
      size_t used = 0;
      for (size_t i = 0; i < frames.size(); i += kHeaderBytes) {
        RawHeader header;
        std::memcpy(&header, frames.data() + i, sizeof header);
        pieces[used++] = {const_cast<std::byte*>(frames.data() + i), kHeaderBytes};
        pieces[used++] = {const_cast<std::byte*>(memory.data() + header.offset), kReadBytes};
        if (used < pieces.size()) continue;
        send_all(server_.get(), pieces);
        used = 0;
      }
      send_all(server_.get(), std::span(pieces).first(used));
    }
  }

  FileDescriptor client_;
  FileDescriptor server_;
  SeededDraws draws_{2};
  std::vector<RawHeader> headers_;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<ReadPeer> make_raw_peer(Wire wire) {
  return std::make_unique<RawPeer>(wire);
}

}  // namespace memsync::benchmarks
