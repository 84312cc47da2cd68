// Whether bytes are nothing but zeros, which need not travel.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace memsync {

// `bytes` is not empty.
inline bool is_zero(std::span<const std::byte> bytes) {
  return bytes[0] == std::byte{0} &&
         std::memcmp(&bytes[0], &bytes[1], bytes.size() - 1) == 0;  // each is as the one before
}

}  // namespace memsync
