// A byte stream between two hosts, its bytes counted, usable by an event loop or with deadlines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <sys/uio.h>
#include <vector>

#include "lib/os/clock.h"

namespace memsync {

// Who a peer is, as its certificate says and a CA of ours vouches for.
struct PeerIdentity {
  std::string common_name;
  std::vector<std::string> names{};  // subject alternative names: hosts and IP addresses
};

// Plain (TCP, UNIX: socket_stream.h) or TLS (tls/tls_stream.h). read_some() and write_some() never
// block.
// Threads: one reader and one writer at a time; shut_down() from any.
class Stream {
 public:
  virtual ~Stream() = default;

  // Bytes moved, at least 1; nullopt when the call would block; read_some gives 0 when the peer
  // ended the stream. Throws std::system_error when the connection broke.
  // What write_some did not take, the next call begins with.
  virtual std::optional<size_t> read_some(std::span<const iovec> into) = 0;
  virtual std::optional<size_t> write_some(std::span<const iovec> from) = 0;
  // For poll(2): readable or writable when the halves above may go on. Stays the stream's own.
  // What was read from it and not yet asked for does not make it readable: who waits for it looks
  // at has_pending() first, or has read until nullopt.
  virtual int descriptor() const noexcept = 0;
  // Whether read_some() may have something although descriptor() is not readable; never after it
  // gave nullopt. The reader's.
  virtual bool has_pending() const noexcept { return false; }
  // Whom a TLS stream speaks with, once they have shaken hands; nobody else says who they are.
  virtual std::optional<PeerIdentity> peer_identity() const { return std::nullopt; }
  // Ends both directions: blocked calls of either side return. Idempotent.
  virtual void shut_down() noexcept = 0;

  // Moves all of the bytes or throws: ETIMEDOUT when the deadline passes, ECONNRESET at an early
  // end, EPROTO where the peer speaks TLS and this end does not.
  void read_all(std::span<std::byte> into, Deadline deadline);
  // What is there, at least one byte; 0 when the peer ended the stream. ETIMEDOUT as above.
  size_t read_part(std::span<std::byte> into, Deadline deadline);
  void write_all(std::span<const std::byte> from, Deadline deadline);

  // Payload of the stream so far (framing of TLS, TCP and below not included).
  virtual uint64_t bytes_read() const noexcept = 0;
  virtual uint64_t bytes_written() const noexcept = 0;

 protected:
  // What poll(2) has to wait for before a read (`wanted` is POLLIN) or a write (POLLOUT) that would
  // have blocked may go on.
  virtual short events_for(short wanted) const noexcept { return wanted; }
  // Waits until `events` (of poll(2)) are there or the other end is gone; throws ETIMEDOUT
  // beginning with `attempt`.
  static void wait_for(int descriptor, short events, Deadline deadline, const char* attempt);
};

class Listener {
 public:
  virtual ~Listener() = default;
  // The next connection; nullptr when close() was called. Throws ETIMEDOUT at the deadline.
  virtual std::unique_ptr<Stream> accept(Deadline deadline) = 0;
  // Makes a waiting accept() return nullptr, now and ever after. Any thread.
  virtual void close() noexcept = 0;
};

}  // namespace memsync
