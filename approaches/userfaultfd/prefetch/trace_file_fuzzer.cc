// Any bytes as a trace: refused with a sentence, or an order that stays within the region.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "approaches/userfaultfd/prefetch/trace_file.h"

namespace {

using memsync::userfaultfd::TraceShape;

constexpr TraceShape kShape{.region_bytes = 1'000'003, .unit_bytes = 4096};

void decode(std::span<const std::byte> bytes) {
  try {
    const auto touches = memsync::userfaultfd::decode_trace(bytes, kShape);
    if (touches.empty() || touches.size() > kShape.unit_count()) std::abort();
    for (const auto unit : touches)
      if (unit >= kShape.unit_count()) std::abort();
    const auto again = memsync::userfaultfd::encode_trace(kShape, touches);
    if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) std::abort();
  } catch (const std::invalid_argument&) {
    // The only way out for bytes that are no trace.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  decode(std::as_bytes(std::span(data, size)));
  // No mutation finds a hash: the same bytes as indices behind a header that is right.
  std::vector<uint64_t> touches(size / sizeof(uint64_t));
  if (!touches.empty()) std::memcpy(touches.data(), data, touches.size() * sizeof(uint64_t));
  for (uint64_t& touch : touches) touch %= kShape.unit_count() + 1;
  decode(memsync::userfaultfd::encode_trace(kShape, touches));
  return 0;
}
