#include "lib/transport/native/send_batch.h"

#include <cassert>

namespace memsync::native {

void SendBatch::add(const FrameHeader& header, std::span<const std::byte> payload) {
  assert(!full() && next_piece_ == 0);  // callers ask full() and fill before they send
  FrameHeader& kept = headers_[frames_++];
  kept = header;
  kept.payload_bytes = static_cast<uint32_t>(payload.size());
  pieces_[piece_count_++] = {&kept, sizeof kept};
  if (payload.empty()) return;
  pieces_[piece_count_++] = {const_cast<std::byte*>(payload.data()), payload.size()};
  payload_bytes_ += payload.size();
}

bool SendBatch::send(Stream& stream) {
  while (next_piece_ < piece_count_) {
    const auto moved =
        stream.write_some(std::span(pieces_).subspan(next_piece_, piece_count_ - next_piece_));
    if (!moved) return false;
    size_t left = *moved;
    while (next_piece_ < piece_count_ && left >= pieces_[next_piece_].iov_len)
      left -= pieces_[next_piece_++].iov_len;
    if (left == 0) continue;
    iovec& cut = pieces_[next_piece_];
    cut = {static_cast<std::byte*>(cut.iov_base) + left, cut.iov_len - left};
  }
  clear();
  return true;
}

void SendBatch::own_payloads() {
  std::vector<std::byte> rest;
  for (size_t i = next_piece_; i < piece_count_; ++i) {
    const auto* from = static_cast<const std::byte*>(pieces_[i].iov_base);
    rest.insert(rest.end(), from, from + pieces_[i].iov_len);
  }
  owned_ = std::move(rest);
  if (owned_.empty()) return;
  next_piece_ = 0;
  piece_count_ = 1;
  pieces_[0] = {owned_.data(), owned_.size()};
}

void SendBatch::clear() noexcept {
  frames_ = piece_count_ = next_piece_ = payload_bytes_ = 0;
  owned_.clear();
}

}  // namespace memsync::native
