// The open requests of a client: found by the number on the wire, without a lock.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "lib/transport/native/wire.h"

namespace memsync::native {

// One request on the wire, or one of the caller's that was split into several (`group`).
struct OpenRequest {
  uint32_t index = 0;           // its slot; the table's own
  uint64_t uses = 0;            // of the slot so far; the table's own
  std::atomic<uint64_t> id{0};  // 0: free
  // Set once its bytes are (being) written; an answer before that is no answer.
  std::atomic<bool> sent{false};
  Kind kind{};
  Urgency urgency{};
  bool is_group = false;
  OpenRequest* group = nullptr;  // the whole that this is a piece of
  uint32_t pieces_left = 0;      // of a group
  std::error_code error{};       // of a group: the first of its pieces
  uint64_t tag = 0;
  CompletionSink* sink = nullptr;
  Deadline deadline{};
  Deadline sent_at{};  // of background requests
  uint64_t epoch = 0;
  uint64_t offset = 0;
  std::byte* into = nullptr;        // read
  const std::byte* from = nullptr;  // write
  uint32_t bytes = 0;               // read or write
  uint16_t topic_bytes = 0;
  std::vector<std::byte> message;  // exchange, suspension: what is asked
  size_t message_sent = 0;
  std::vector<std::byte> reply;  // exchange, suspension: what has come so far

  // What it weighs in the window of background bytes.
  uint64_t weight() const noexcept { return bytes + message.size(); }
};

// A number is made of a slot and of how often the slot was used, so that an answer that comes after
// its request has ended finds nothing.
// Threads: open() and free() under the client's lock; find() and for_each() from any thread that
// may also end requests (one).
class RequestTable {
 public:
  // Null when all slots are taken. The request counts from publish() on.
  OpenRequest* open();
  static void publish(OpenRequest& request, uint64_t id) noexcept {
    request.id.store(id, std::memory_order_release);
  }
  // The number that publish() gives; valid after open().
  static uint64_t next_id(const OpenRequest& request) noexcept {
    return request.uses << kIndexBits | request.index;
  }
  void free(OpenRequest& request);

  OpenRequest* find(uint64_t id) const noexcept;
  template <typename Visit>
  void for_each(Visit visit) const {
    const size_t count = slot_count_.load(std::memory_order_acquire);
    for (size_t i = 0; i < count; ++i) {
      OpenRequest& request = slot(i);
      if (request.id.load(std::memory_order_acquire) != 0) visit(request);
    }
  }

 private:
  static constexpr unsigned kIndexBits = 20;
  static constexpr size_t kBlockSlots = 256;
  static constexpr size_t kBlocksMax = (size_t{1} << kIndexBits) / kBlockSlots;

  using Block = std::array<OpenRequest, kBlockSlots>;

  OpenRequest& slot(size_t index) const noexcept {
    return (*blocks_[index / kBlockSlots])[index % kBlockSlots];
  }

  std::array<std::unique_ptr<Block>, kBlocksMax> blocks_;
  std::atomic<size_t> slot_count_{0};  // slots below it exist for good
  std::vector<uint32_t> free_;
};

}  // namespace memsync::native
