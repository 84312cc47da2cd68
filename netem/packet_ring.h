// The packets that are on their way: a queue in one block of memory that is never reallocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>

#include "lib/os/clock.h"
#include "lib/os/mapping.h"

namespace memsync {

// First in, first out. A packet lies in one piece, so that it can be read into its place and
// written from there. An empty ring starts again at its beginning, so that short queues keep to
// memory that is warm. Threads: one caller.
class PacketRing {
 public:
  struct Packet {
    std::span<const std::byte> frame;
    Nanoseconds delivery{};
  };

  explicit PacketRing(uint64_t capacity_bytes);

  // Room for one frame of any size at the end of the queue; empty when there is none.
  std::span<std::byte> room() noexcept;
  // Appends the first `frame_bytes` of room(), to be delivered at `delivery`.
  void push(size_t frame_bytes, Nanoseconds delivery);

  bool empty() const noexcept { return packets_.empty(); }
  const Packet& front() const noexcept { return packets_.front(); }
  void pop() noexcept;
  void clear() noexcept;

  // Touches the next few untouched pages, so that no packet has to wait for one (a first touch
  // costs 1 to 9 us); returns false when all have been touched.
  bool warm_up() noexcept;

 private:
  Mapping memory_;
  std::deque<Packet> packets_;
  size_t head_ = 0;     // where the next frame goes
  size_t touched_ = 0;  // no frame has ever lain at or behind this place, and it is not touched yet
};

}  // namespace memsync
