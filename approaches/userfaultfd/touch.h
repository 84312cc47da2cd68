// Reading memory that may raise SIGBUS, without dying of it. For tests.
#pragma once

#include <cstddef>
#include <optional>

#include "lib/os/access_faults.h"

namespace memsync::userfaultfd {

// The byte at `address`, or nullopt when touching it raised a signal. Any thread. Not seen by TSan,
// which takes mapping lost pages away under a reader for a write of them.
inline std::optional<std::byte> touch(const volatile std::byte* address) {
  struct Access {
    const volatile std::byte* address;
    std::byte value{};
    __attribute__((no_sanitize("thread"))) void operator()() { value = *address; }
  } access{address};
  install_fault_guard();
  if (guarded(access)) return std::nullopt;
  return access.value;
}

}  // namespace memsync::userfaultfd
