#include "lib/os/unix_socket.h"

#include <array>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

constexpr int kPeerProcess = 77;  // SO_PEERPIDFD since 6.5: include/uapi/asm-generic/socket.h

template <size_t kCount>
struct ControlBuffer {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kCount * sizeof(int))> bytes{};
};

bool has_hung_up(int socket) {
  pollfd line{socket, POLLRDHUP, 0};
  return ::poll(&line, 1, 0) > 0;
}

// The descriptor of the very process that connected. Where the kernel can't give it, the number may
// have been used again before it was looked up: then that process's end of the line is closed.
FileDescriptor process_of(int socket, pid_t pid) {
  int number = -1;
  socklen_t size = sizeof number;
  if (::getsockopt(socket, SOL_SOCKET, kPeerProcess, &number, &size) == 0)
    return FileDescriptor{number};
  FileDescriptor process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  if (!process.is_open() || has_hung_up(socket)) throw_errno("finding the peer's process", ESRCH);
  return process;
}

// Owns whatever descriptors the message carries.
void take_descriptors(msghdr& message, std::vector<FileDescriptor>& descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof number, sizeof number);
      descriptors.emplace_back(number);
    }
  }
}

}  // namespace

FileDescriptor connect_to_path(const std::string& path) {
  const std::string attempt = "connecting to " + path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw_errno(attempt, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  FileDescriptor socket{check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket")};
  int result = 0;
  do {
    result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result < 0 && errno == EINTR);
  check(result, attempt);
  return socket;
}

Peer peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  check(::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size),
        "asking who the peer is");
  if (credentials.pid <= 0) throw_errno("finding the peer's process", ESRCH);
  return {credentials.pid, credentials.uid, process_of(socket, credentials.pid)};
}

void send_with_descriptors(int socket, std::span<const std::byte> bytes,
                           std::span<const int> descriptors) {
  if (descriptors.size() > kDescriptorsMax) throw_errno("sending descriptors", EMSGSIZE);
  ControlBuffer<kDescriptorsMax> control;
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size_bytes());
  }
  while (piece.iov_len > 0) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    check(sent, "sending descriptors");
    piece.iov_base = static_cast<std::byte*>(piece.iov_base) + sent;
    piece.iov_len -= static_cast<size_t>(sent);
    message.msg_control = nullptr;  // they went with the first byte
    message.msg_controllen = 0;
  }
}

std::optional<size_t> receive_with_descriptors(int socket, std::span<std::byte> into,
                                               std::vector<FileDescriptor>& descriptors) {
  ControlBuffer<kDescriptorsMax> control;
  iovec piece{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  check(got, "receiving descriptors");
  take_descriptors(message, descriptors);
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    // The kernel has closed those that did not fit; these are of no use alone.
    descriptors.clear();
    throw_errno("receiving descriptors, of which too many came", EMSGSIZE);
  }
  return static_cast<size_t>(got);
}

}  // namespace memsync
