// The conductor's line to an agent: JSON messages with a length before each.
//
//   conductor ── {"do": "open", ...} ──▶ agent          one request at a time,
//   conductor ◀── {"ok": true, ...} ──── agent          one answer to each
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "lib/os/clock.h"
#include "lib/os/file_descriptor.h"

namespace memsync {

// A connected stream socket: a socket pair's end, or TCP between machines. Messages are a 4-byte
// little-endian length and as many bytes of JSON, at most kMaxMessageBytes.
// Threads: one sender and one receiver at a time.
class ControlChannel {
 public:
  static constexpr uint32_t kMaxMessageBytes = 64U << 20;

  explicit ControlChannel(FileDescriptor socket) : socket_(std::move(socket)) {}
  // Throws std::system_error (EPIPE when the other end is gone).
  void send(const nlohmann::json& message);
  // The next message; nullopt when the other end closed between messages. Throws
  // std::system_error (ETIMEDOUT; ECONNRESET inside a message; EBADMSG for what is no message).
  // `limit_bytes` bounds what a stranger may make us allocate.
  std::optional<nlohmann::json> receive(Deadline deadline, uint32_t limit_bytes = kMaxMessageBytes);
  const FileDescriptor& descriptor() const noexcept { return socket_; }

 private:
  // False at an end of file before the first byte.
  bool read_exactly(void* into, size_t size, Deadline deadline);
  FileDescriptor socket_;
};

}  // namespace memsync
