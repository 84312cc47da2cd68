// Any bytes may come out of a TUN device: what is counted must be possible.
#include <cstdlib>

#include "netem/packet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto wire = memsync::wire_size(std::as_bytes(std::span(data, size)));
  if (!wire) return 0;
  const size_t packet = size - 10;
  // At least the packet itself, at most its headers (two of 60 bytes) once per segment.
  if (wire->segments == 0 || wire->bytes < packet || wire->segments > packet + 1 ||
      wire->bytes > packet + wire->segments * 120)
    std::abort();
  return 0;
}
