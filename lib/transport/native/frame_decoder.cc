#include "lib/transport/native/frame_decoder.h"

#include <algorithm>
#include <cstring>

namespace memsync::native {

void FrameDecoder::begin_frame(const FrameHeader& header) {
  if (header.payload_bytes > kFramePayloadLimit)
    throw_malformed("a frame of " + std::to_string(header.payload_bytes) + " bytes, more than " +
                    std::to_string(kFramePayloadLimit));
  target_ = handler_.on_header(header);
  payload_left_ = header.payload_bytes;
  in_payload_ = payload_left_ > 0;
  if (in_payload_) return;
  target_ = nullptr;
  handler_.on_frame_end();
}

std::span<const std::byte> FrameDecoder::take_fixed(std::span<const std::byte> bytes) {
  const size_t wanted = fixed_wanted();
  if (!in_hello_ && fixed_size_ == 0 && bytes.size() >= wanted) {  // the usual case: whole
    FrameHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    begin_frame(header);
    return bytes.subspan(wanted);
  }
  const size_t taken = std::min(wanted - fixed_size_, bytes.size());
  std::memcpy(fixed_.data() + fixed_size_, bytes.data(), taken);
  fixed_size_ += taken;
  bytes = bytes.subspan(taken);
  if (in_hello_ && fixed_size_ >= sizeof(uint64_t) &&
      std::memcmp(fixed_.data(), &Hello::kMagic, sizeof(uint64_t)) != 0)
    throw_malformed("the peer speaks another protocol");
  if (fixed_size_ < wanted) return bytes;
  if (!in_hello_) {
    FrameHeader header;
    std::memcpy(&header, fixed_.data(), sizeof header);
    fixed_size_ = 0;
    begin_frame(header);
    return bytes;
  }
  Hello hello;
  std::memcpy(&hello, fixed_.data(), fixed_size_);
  // Another version's hello may be longer; its first bytes are all there is to know of it.
  if (!prefix_seen_ && hello.version == kVersion) {
    if (hello.hello_bytes != sizeof(Hello)) throw_malformed("a hello of another length");
    prefix_seen_ = true;
    return bytes;
  }
  in_hello_ = false;
  fixed_size_ = 0;
  handler_.on_hello(hello);
  return bytes;
}

void FrameDecoder::consume(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (!in_payload_) {
      bytes = take_fixed(bytes);
      continue;
    }
    const size_t taken = std::min(payload_left_, bytes.size());
    if (target_ != nullptr) std::memcpy(target_, bytes.data(), taken);
    bytes = bytes.subspan(taken);
    placed(taken);
  }
}

void FrameDecoder::placed(size_t count) {
  payload_left_ -= count;
  if (target_ != nullptr) target_ += count;
  if (payload_left_ > 0) return;
  in_payload_ = false;
  target_ = nullptr;
  handler_.on_frame_end();
}

}  // namespace memsync::native
