// The push protocol's frames over one stream: small ones gathered, large ones straight through.
#pragma once

#include <memory>
#include <span>
#include <system_error>
#include <vector>

#include "approaches/mmap_push/wire.h"
#include "lib/transport/stream.h"

namespace memsync::mmap_push {

// What the other side said before it gave up.
class PeerFailure : public std::system_error {
 public:
  using std::system_error::system_error;
};

// Every call takes until its deadline at most and throws std::system_error: ETIMEDOUT then,
// ECONNRESET when the peer has gone, malformed for foreign bytes; `failed` of the peer is a
// PeerFailure. After any of them the stream is good for nothing more.
// Threads: one that reads and one that writes.
class FrameStream {
 public:
  // `stream` outlives this.
  FrameStream(Stream& stream, Role self);

  // Both ends greet each other; throws RegionError::refused when they do not fit.
  void greet(Deadline deadline);
  // The same where the other end's greeting has been read already, by read_hello().
  void greet_back(const Hello& theirs, Deadline deadline);

  // Waits for the next message; false: the peer has ended the stream instead.
  bool wait(Deadline deadline);
  // The next message's header. What was left of the last one's payload is skipped.
  FrameHeader next(Deadline deadline);
  // Its payload, or the part of it that fills `into`; malformed when there is less.
  void read(std::span<std::byte> into, Deadline deadline);
  std::vector<std::byte> read_rest(Deadline deadline);
  // Whether the next message has begun to come, or the peer has ended the stream.
  bool is_readable();

  // Puts a message behind those that wait for flush().
  void send(Kind kind, uint32_t file, std::span<const std::byte> payload, uint8_t flags = 0);
  void flush(Deadline deadline);
  // After a failed write, in the thread that reads: the peer may have said why before it closed.
  // Throws PeerFailure then, and returns otherwise.
  void look_for_failure();

  Stream& stream() noexcept { return stream_; }

 private:
  void fill(Deadline deadline);

  Stream& stream_;
  const Role self_;
  const std::unique_ptr<std::byte[]> buffer_;
  size_t start_ = 0, end_ = 0;  // of what was read and not taken
  uint32_t payload_left_ = 0;
  std::vector<std::byte> unsent_;
};

// What a peer that has just connected says first; its role is anything. Throws std::system_error,
// RegionError::refused for what is no greeting of ours.
Hello read_hello(Stream& stream, Deadline deadline);

}  // namespace memsync::mmap_push
