// Bytes of a stream, in any pieces, turned into hello, headers and payloads. Knows no socket.
#pragma once

#include <array>
#include <span>

#include "lib/transport/native/wire.h"

namespace memsync::native {

// A payload goes straight to where the handler wants it; everything else passes through a buffer
// of the caller's. Throws std::system_error (malformed) from consume() and placed(), and is then of
// no further use. Threads: one at a time.
class FrameDecoder {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    // Once, first, when the decoder was made with First::hello.
    virtual void on_hello(const Hello& hello) = 0;
    // A header whose payload is at most kFramePayloadLimit. Answers where payload_bytes bytes go;
    // nullptr drops them. Throws to refuse the stream.
    virtual std::byte* on_header(const FrameHeader& header) = 0;
    // The payload of the last header is there (or dropped).
    virtual void on_frame_end() = 0;
  };
  enum class First : uint8_t { hello, frame };

  // `handler` outlives this.
  FrameDecoder(Handler& handler, First first)
      : handler_(handler), in_hello_(first == First::hello) {}

  void consume(std::span<const std::byte> bytes);
  // The rest of a payload that is under way: bytes may be received there directly ...
  std::span<std::byte> direct() const noexcept {
    return target_ == nullptr ? std::span<std::byte>{} : std::span(target_, payload_left_);
  }
  // ... and `count` of them were.
  void placed(size_t count);
  // The payload under way has lost its target: its rest is dropped.
  void drop_rest() noexcept { target_ = nullptr; }

 private:
  std::span<const std::byte> take_fixed(std::span<const std::byte> bytes);
  void begin_frame(const FrameHeader& header);
  size_t fixed_wanted() const noexcept {
    return !in_hello_ ? sizeof(FrameHeader) : prefix_seen_ ? sizeof(Hello) : kHelloPrefix;
  }

  Handler& handler_;
  bool in_hello_;
  bool prefix_seen_ = false;
  bool in_payload_ = false;
  std::array<std::byte, sizeof(Hello)> fixed_{};  // a hello or header that came in pieces
  size_t fixed_size_ = 0;
  std::byte* target_ = nullptr;
  size_t payload_left_ = 0;
};

}  // namespace memsync::native
