#include "lib/transport/native/request_table.h"

namespace memsync::native {

OpenRequest* RequestTable::open() {
  if (free_.empty()) {
    const size_t first = slot_count_.load(std::memory_order_relaxed);
    if (first / kBlockSlots == kBlocksMax) return nullptr;
    blocks_[first / kBlockSlots] = std::make_unique<Block>();
    free_.reserve(first + kBlockSlots);  // so that free() never allocates
    for (size_t i = kBlockSlots; i-- > 0;) {
      slot(first + i).index = static_cast<uint32_t>(first + i);
      free_.push_back(static_cast<uint32_t>(first + i));
    }
    slot_count_.store(first + kBlockSlots, std::memory_order_release);
  }
  OpenRequest& request = slot(free_.back());
  free_.pop_back();
  ++request.uses;
  request.sent.store(false, std::memory_order_relaxed);
  request.is_group = false;
  request.group = nullptr;
  request.error.clear();
  request.into = nullptr;
  request.from = nullptr;
  request.offset = 0;
  request.bytes = 0;
  request.topic_bytes = 0;
  request.message_sent = 0;
  request.deadline = Deadline::max();
  return &request;
}

void RequestTable::free(OpenRequest& request) {
  request.id.store(0, std::memory_order_release);
  request.message = {};
  request.reply = {};
  free_.push_back(request.index);
}

OpenRequest* RequestTable::find(uint64_t id) const noexcept {
  const size_t index = id & ((uint64_t{1} << kIndexBits) - 1);
  if (id >> kIndexBits == 0 || index >= slot_count_.load(std::memory_order_acquire)) return nullptr;
  OpenRequest& request = slot(index);
  return request.id.load(std::memory_order_acquire) == id ? &request : nullptr;
}

}  // namespace memsync::native
