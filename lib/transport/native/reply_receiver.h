// The client's half of decoding: which open request a frame answers, and whether it may.
#pragma once

#include <array>
#include <string_view>

#include "lib/transport/native/frame_decoder.h"
#include "lib/transport/native/request_table.h"

namespace memsync::native {

// Knows no socket. Answers to requests that have ended meanwhile are dropped; answers that the
// protocol does not allow throw malformed. Threads: one at a time, the one that ends requests.
class ReplyReceiver : public FrameDecoder::Handler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // Whether every byte of `request` has been written.
    virtual bool fully_sent(OpenRequest& request) = 0;
    // The answer is there, the bytes in place; `text` explains an error. Ends the request.
    virtual void answered(OpenRequest& request, std::error_code error, std::string_view text) = 0;
  };
  // Both outlive this.
  ReplyReceiver(RequestTable& table, Owner& owner) : table_(table), owner_(owner) {}

  void on_hello(const Hello& hello) override;
  std::byte* on_header(const FrameHeader& header) override;
  void on_frame_end() override;

  // `request` ends for another reason: nothing is put into its buffers any more. True when an
  // answer to it was under way, whose rest the decoder must drop.
  bool forget(const OpenRequest& request) noexcept;

 private:
  std::byte* begin_done(OpenRequest& request, const FrameHeader& header);

  RequestTable& table_;
  Owner& owner_;
  FrameHeader header_;
  OpenRequest* current_ = nullptr;
  std::array<std::byte, kErrorTextLimit> text_{};
};

}  // namespace memsync::native
