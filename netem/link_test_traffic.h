// Traffic of the tests' own, made by other code than the calibration's: plain blocking sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "netem/link.h"

namespace memsync {

// How GoogleTest names a parameter.
inline void PrintTo(LinkEngine engine, std::ostream* out) {
  *out << engine_name(engine);
}

enum class Direction : uint8_t { forth, back };

// Why the engine can't be used here, for GTEST_SKIP; "" when it can.
std::string engine_problem(LinkEngine engine);
std::unique_ptr<Link> make_test_link(LinkEngine engine, const LinkShape& shape);

struct Transfer {
  uint64_t received_bytes = 0;
  double seconds = 0;  // from the first byte to the last at the receiver
  std::string congestion_control;
  // What the sender's TCP says it sent, as IP packets: payload with what it sent again, and
  // headers.
  uint64_t sent_ip_bytes = 0;
};
// One TCP stream of `bytes` bytes, acknowledged to its end.
Transfer transfer(const Link& link, Direction direction, uint64_t bytes);

// Sends `count` datagrams of `payload` bytes (at least 4) at once; returns how many arrived before
// there was silence for 0.3 s + RTT. `order`: their numbers as they came.
uint64_t send_datagrams(const Link& link, Direction direction, unsigned count, size_t payload,
                        std::vector<uint32_t>* order = nullptr);

}  // namespace memsync
