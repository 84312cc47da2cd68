// The one line in which a peer says what it measured, checked before anything of it is believed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace memsync {

// Numbers are finite and not negative; exactly one of the digests is given.
struct PeerReport {
  double duration_s = 0;  // above 0
  uint64_t bytes = 0;
  std::string sha256{}, xxh3_128{};  // in hex, of the bytes in the order of the accesses
  std::optional<double> latency_p50_s{}, latency_p99_s{};
  std::optional<uint64_t> faults{};
};

// `output` is all that the program wrote. Throws std::invalid_argument with one sentence unless it
// is one line that holds one JSON object with the members above and no others.
PeerReport parse_peer_report(const std::string& output);

// Somebody else's text as one line for a message: printable ASCII, at most 200 characters.
std::string quotable(const std::string& text);

}  // namespace memsync
