// The queue at the root of a device: made, changed and its counts read by rtnetlink.
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

// Speaks to the kernel by one socket that stays open, so that reading takes microseconds and no
// process. Threads: one caller.
class RootQueue {
 public:
  // The device `name` in `network`, whatever its root qdisc is.
  RootQueue(const NetworkNamespace& network, const std::string& name);
  // Gives it a plain queue of at most `packets` packets. 0: everything is dropped, unseen by the
  // sender. Throws std::system_error.
  void add_pfifo(uint32_t packets);
  void change_pfifo(uint32_t packets);
  // Throws std::system_error, or std::runtime_error when there is no root qdisc.
  QdiscCount read() const;

 private:
  void set_pfifo(uint32_t packets, uint16_t flags, const std::string& attempt);

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
