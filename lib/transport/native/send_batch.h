// Frames on their way into a stream: many with one system call, resumed where it stopped.
#pragma once

#include <array>
#include <sys/uio.h>
#include <vector>

#include "lib/transport/native/wire.h"
#include "lib/transport/stream.h"

namespace memsync::native {

// Fill with add(), then send() until it answers true. A payload stays valid until then (or until
// own_payloads()). Threads: one at a time.
class SendBatch {
 public:
  static constexpr size_t kFramesMax = 256;

  bool empty() const noexcept { return frames_ == 0; }
  bool full() const noexcept { return frames_ == kFramesMax; }
  size_t payload_bytes() const noexcept { return payload_bytes_; }
  // Whether the stream has taken all that had been added when piece_count() answered `count`.
  size_t piece_count() const noexcept { return piece_count_; }
  bool has_sent(size_t count) const noexcept { return next_piece_ >= count; }

  void add(const FrameHeader& header, std::span<const std::byte> payload);
  // Writes what the stream takes; true when all has been written, and the batch is empty again.
  // Throws as Stream::write_some.
  bool send(Stream& stream);
  // Copies what is still to be written, so that the payloads may go.
  void own_payloads();
  void clear() noexcept;

 private:
  std::array<FrameHeader, kFramesMax> headers_;
  std::array<iovec, 2 * kFramesMax> pieces_;
  size_t frames_ = 0;
  size_t piece_count_ = 0;
  size_t next_piece_ = 0;
  size_t payload_bytes_ = 0;
  std::vector<std::byte> owned_;
};

}  // namespace memsync::native
