#include "netem/packet_ring.h"

#include <algorithm>
#include <cassert>

#include "netem/packet.h"

namespace memsync {

PacketRing::PacketRing(uint64_t capacity_bytes)
    : memory_(Mapping::anonymous(std::max<uint64_t>(capacity_bytes, 4 * kMaxFrameBytes))) {}

std::span<std::byte> PacketRing::room() noexcept {
  const std::span<std::byte> all = memory_.bytes();
  if (packets_.empty()) head_ = 0;
  const size_t tail = packets_.empty()
                          ? all.size()
                          : static_cast<size_t>(packets_.front().frame.data() - all.data());
  if (!packets_.empty() && head_ <= tail) {  // wrapped: the free part lies before the tail
    return tail - head_ > kMaxFrameBytes ? all.subspan(head_, kMaxFrameBytes)
                                         : std::span<std::byte>{};
  }
  if (all.size() - head_ >= kMaxFrameBytes) return all.subspan(head_, kMaxFrameBytes);
  // Strictly less than the tail, so that head_ == tail always means full, never empty.
  if (tail > kMaxFrameBytes) {
    head_ = 0;
    return all.first(kMaxFrameBytes);
  }
  return {};
}

void PacketRing::push(size_t frame_bytes, Nanoseconds delivery) {
  assert(frame_bytes <= kMaxFrameBytes);  // what room() promised
  packets_.push_back({memory_.bytes().subspan(head_, frame_bytes), delivery});
  head_ += frame_bytes;
  touched_ = std::max(touched_, head_);
}

void PacketRing::pop() noexcept {
  packets_.pop_front();
}

void PacketRing::clear() noexcept {
  packets_.clear();
}

bool PacketRing::warm_up() noexcept {
  constexpr size_t kPagesAtOnce = 16;
  const std::span<std::byte> all = memory_.bytes();
  for (size_t page = 0; page < kPagesAtOnce && touched_ < all.size(); ++page) {
    // A volatile write: the compiler may not see that it changes nothing that is read.
    *reinterpret_cast<volatile std::byte*>(&all[touched_]) = std::byte{0};
    touched_ += page_bytes();
  }
  return touched_ < all.size();
}

}  // namespace memsync
