#include "lib/transport/native/reply_receiver.h"

namespace memsync::native {

void ReplyReceiver::on_hello(const Hello&) {
  throw_malformed("a second hello");
}

std::byte* ReplyReceiver::on_header(const FrameHeader& header) {
  header_ = header;
  current_ = nullptr;
  if (header.kind == Kind::pong) {
    if (header.payload_bytes != 0) throw_malformed("a pong with a payload");
    return nullptr;
  }
  if (header.kind != Kind::done && header.kind != Kind::failed)
    throw_malformed("an answer of unknown kind " + std::to_string(static_cast<int>(header.kind)));
  OpenRequest* request = table_.find(header.id);
  if (request == nullptr) return nullptr;  // late: it has ended here
  if (!owner_.fully_sent(*request)) throw_malformed("an answer before its request");
  if (header.kind == Kind::failed) {
    if (header.payload_bytes > kErrorTextLimit || header.more() || header.detail == 0)
      throw_malformed("an error that breaks its limits");
    current_ = request;
    return text_.data();
  }
  return begin_done(*request, header);
}

std::byte* ReplyReceiver::begin_done(OpenRequest& request, const FrameHeader& header) {
  const bool message = request.kind == Kind::exchange || request.kind == Kind::suspend_and_collect;
  if (!message) {
    const uint32_t expected = request.kind == Kind::read ? request.bytes : 0;
    if (header.more() || header.payload_bytes != expected)
      throw_malformed("an answer of " + std::to_string(header.payload_bytes) + " bytes to one of " +
                      std::to_string(expected));
    current_ = &request;
    return request.into;
  }
  const size_t before = request.reply.size();
  if (before + header.payload_bytes > kMessageLimit) throw_malformed("an endless message");
  // Grows by what one frame may bring: a peer cannot claim memory without sending the bytes.
  request.reply.resize(before + header.payload_bytes);
  current_ = &request;
  return request.reply.data() + before;
}

void ReplyReceiver::on_frame_end() {
  if (current_ == nullptr) return;
  OpenRequest& request = *current_;
  current_ = nullptr;
  if (header_.kind == Kind::failed) {
    const std::string_view text(reinterpret_cast<const char*>(text_.data()), header_.payload_bytes);
    owner_.answered(request, error_of(header_), text);
  } else if (!header_.more()) {
    owner_.answered(request, {}, {});
  }
}

bool ReplyReceiver::forget(const OpenRequest& request) noexcept {
  if (current_ != &request) return false;
  current_ = nullptr;
  return true;
}

}  // namespace memsync::native
