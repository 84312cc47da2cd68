#include "netem/packet.h"

#include <cstring>
#include <netinet/in.h>

namespace memsync {

namespace {

using Bytes = std::span<const std::byte>;

// struct virtio_net_hdr; <linux/virtio_net.h> is no C++ (it has a member called `class`).
struct OffloadHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t header_bytes = 0;
  uint16_t gso_size = 0;
  uint16_t checksum_start = 0;
  uint16_t checksum_offset = 0;
};
static_assert(sizeof(OffloadHeader) == 10);

constexpr unsigned kGsoNone = 0;
constexpr unsigned kGsoTcp4 = 1;
constexpr unsigned kGsoTcp6 = 4;
constexpr unsigned kGsoUdp = 5;
constexpr unsigned kGsoEcnFlag = 0x80;

uint8_t octet(Bytes bytes, size_t at) {
  return std::to_integer<uint8_t>(bytes[at]);
}

struct IpHeader {
  size_t bytes = 0;
  uint8_t protocol = 0;
};

std::optional<IpHeader> ip_header(Bytes packet) {
  if (packet.empty()) return std::nullopt;
  const unsigned version = octet(packet, 0) >> 4;
  if (version == 4 && packet.size() >= 20) {
    const size_t bytes = size_t{4} * (octet(packet, 0) & 0xFu);
    if (bytes < 20 || bytes > packet.size()) return std::nullopt;
    return IpHeader{bytes, octet(packet, 9)};
  }
  // Extension headers do not occur in superpackets that we make; a packet with one is no TCP here.
  if (version == 6 && packet.size() >= 40) return IpHeader{40, octet(packet, 6)};
  return std::nullopt;
}

// IP and transport header together; nullopt when it is neither TCP nor UDP or does not fit.
std::optional<size_t> header_bytes(Bytes packet) {
  const auto ip = ip_header(packet);
  if (!ip) return std::nullopt;
  size_t transport = 0;
  if (ip->protocol == IPPROTO_UDP) {
    transport = 8;
  } else if (ip->protocol == IPPROTO_TCP && packet.size() >= ip->bytes + 20) {
    transport = size_t{4} * (octet(packet, ip->bytes + 12) >> 4);
    if (transport < 20) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (ip->bytes + transport > packet.size()) return std::nullopt;
  return ip->bytes + transport;
}

}  // namespace

std::optional<WireSize> wire_size(Bytes frame) noexcept {
  OffloadHeader offload;
  if (frame.size() <= sizeof offload || frame.size() > kMaxFrameBytes) return std::nullopt;
  std::memcpy(&offload, frame.data(), sizeof offload);
  const Bytes packet = frame.subspan(sizeof offload);
  if (!ip_header(packet)) return std::nullopt;
  const unsigned kind = offload.gso_type & ~kGsoEcnFlag;
  if (kind == kGsoNone) return WireSize{1, packet.size()};
  if (kind != kGsoTcp4 && kind != kGsoTcp6 && kind != kGsoUdp) return std::nullopt;
  const auto headers = header_bytes(packet);
  if (!headers || offload.gso_size == 0) return std::nullopt;
  const uint64_t payload = packet.size() - *headers;
  const uint64_t segments = payload == 0 ? 1 : (payload + offload.gso_size - 1) / offload.gso_size;
  return WireSize{segments, payload + segments * *headers};
}

}  // namespace memsync
