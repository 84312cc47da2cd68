// What can be said about a shape without making a link.
#include <algorithm>
#include <cmath>

#include "lib/region/quantity.h"
#include "netem/link.h"

namespace memsync {

std::string_view engine_name(LinkEngine engine) noexcept {
  switch (engine) {
    case LinkEngine::none:
      return "none";
    case LinkEngine::tun:
      return "tun";
    case LinkEngine::tc:
      return "tc";
  }
  return "?";
}

uint64_t queue_bytes_of(const LinkShape& shape) noexcept {
  if (shape.queue_bytes) return *shape.queue_bytes;
  constexpr double kUnlimited = 10e9;
  const double rate =
      shape.bits_per_second ? static_cast<double>(*shape.bits_per_second) : kUnlimited;
  const double bdp = rate / 8 * seconds(shape.rtt);
  return std::max<uint64_t>(static_cast<uint64_t>(std::ceil(1.5 * bdp)), 256 << 10);
}

std::string describe(const LinkShape& shape) {
  std::string text = shape.bits_per_second
                         ? format_bit_rate(static_cast<double>(*shape.bits_per_second))
                         : std::string("unlimited");
  text += ", " + format_duration(shape.rtt) + " RTT";
  if (shape.loss_ratio > 0) {
    char percent[32];
    std::snprintf(percent, sizeof percent, "%g", shape.loss_ratio * 100);
    text += ", loss " + std::string(percent) + " %";
  }
  if (shape.jitter.count() > 0) text += ", jitter " + format_duration(shape.jitter);
  if (shape.queue_bytes) text += ", queue " + format_bytes(static_cast<double>(*shape.queue_bytes));
  return text;
}

}  // namespace memsync
