// What both ends of the thesis's protocol must be told; nothing of it travels.
#pragma once

#include <chrono>
#include <cstdint>

#include "lib/os/clock.h"

namespace memsync::mmap_push::thesis {

struct Settings {
  // Equal at both ends: the protocol can't say it. Ends that differ never agree, and the source's
  // round() then ends with ETIMEDOUT.
  uint64_t block_bytes = 4096;
  // The largest file that is accepted; the limits on frames follow from it.
  uint64_t size_limit_bytes = 1ULL << 30;
  // Threads that hash, at most; 0: one per CPU.
  unsigned workers = 0;
  // How long an answer that has begun may pause, at the receiver. (The source has a deadline.)
  Nanoseconds patience = std::chrono::seconds(10);

  uint64_t blocks_max() const {
    return size_limit_bytes / block_bytes + (size_limit_bytes % block_bytes != 0);
  }
};

inline constexpr uint64_t kBlockBytesMax = 16ULL << 20;

// Throws std::invalid_argument: blocks of 1 B to 16 MiB, and a limit that is not zero.
void require_sound(const Settings& settings);

}  // namespace memsync::mmap_push::thesis
