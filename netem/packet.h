// What a packet from a TUN device amounts to on a wire whose MTU is 1500 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace memsync {

inline constexpr size_t kMtuBytes = 1500;
// A virtio_net_hdr (10 bytes) and the largest IP packet.
inline constexpr size_t kMaxFrameBytes = 10 + 65535;

// IP packets of at most one MTU, and their bytes with all their headers.
struct WireSize {
  uint64_t segments = 0;
  uint64_t bytes = 0;
  friend bool operator==(const WireSize&, const WireSize&) = default;
};

// Reads a frame: a virtio_net_hdr, then an IPv4 or IPv6 packet. A superpacket (TSO, USO) counts as
// the segments that it will be cut into, each with a copy of the headers.
// Returns nullopt for a frame that is no such packet. Any bytes are safe.
// Source: virtio 1.2, 5.1.6 "Device Operation"; RFC 791, 8200, 9293, 768.
std::optional<WireSize> wire_size(std::span<const std::byte> frame) noexcept;

}  // namespace memsync
