// Reads what a device's root qdisc has counted, by rtnetlink.
#pragma once

#include <cstdint>
#include <string>

#include "lib/os/file_descriptor.h"
#include "lib/os/network_namespace.h"

namespace memsync {

// A root qdisc counts a superpacket as the segments it will be cut into, each with its headers
// (qdisc_pkt_len_init() in the kernel's net/core/dev.c); a device counts it as one packet.
struct QdiscCount {
  uint64_t bytes = 0;    // Ethernet headers included
  uint64_t packets = 0;  // MTU-sized; a superpacket that came out of a TUN device counts as none,
                         // since the kernel does not trust its segment count yet
};

// Stays open, so that reading costs microseconds and no process. Threads: one caller.
class WireCounter {
 public:
  // The device `name` in `network`, which has a root qdisc other than `noqueue`.
  WireCounter(const NetworkNamespace& network, const std::string& name);
  // Throws std::system_error, or std::runtime_error when the device has no root qdisc.
  QdiscCount read() const;

 private:
  FileDescriptor socket_;
  int device_index_ = 0;
  std::string name_;
};

// IP packets that the hosts of a namespace received so far, a superpacket counting as its segments
// (IpExt:InNoECTPkts and its sisters, which know superpackets). Loopback is included.
class IpPacketCounter {
 public:
  explicit IpPacketCounter(const NetworkNamespace& network);
  uint64_t read() const;

 private:
  FileDescriptor netstat_;
};

}  // namespace memsync
