// How a fuzzer gives bytes to a decoder: in pieces, and payloads directly, as a socket would.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <system_error>

#include "lib/transport/native/frame_decoder.h"

namespace memsync::native {

// The first byte chooses the pieces; the rest is fed. Only RegionError::malformed may come out.
inline void feed(FrameDecoder& decoder, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const size_t piece = 1 + std::to_integer<size_t>(bytes[0]);
  bytes = bytes.subspan(1);
  try {
    while (!bytes.empty()) {
      const auto direct = decoder.direct();
      const size_t taken = std::min(piece, bytes.size());
      const size_t placed = std::min(taken, direct.size());
      if (placed > 0) {
        std::memcpy(direct.data(), bytes.data(), placed);
        decoder.placed(placed);
      }
      decoder.consume(bytes.subspan(placed, taken - placed));
      bytes = bytes.subspan(taken);
    }
  } catch (const std::system_error& error) {
    if (error.code() != make_error_code(RegionError::malformed)) throw;
  }
}

inline void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace memsync::native
