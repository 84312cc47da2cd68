// A TUN device: the kernel's end is a network device, ours a descriptor that gives IP packets.
#pragma once

#include <string>

#include "lib/os/file_descriptor.h"

namespace memsync {

// Whether packets larger than the MTU may pass as one, to be cut up later ("superpackets").
enum class Offloads : uint8_t { off, on };

// Makes the device `name` in the network namespace of the calling thread and returns its
// descriptor: non-blocking; every read and write is one virtio_net_hdr followed by one IP packet.
// With Offloads::on, TCP and (from Linux 6.2) UDP superpackets up to 64 KiB and unfinished
// checksums pass through. The device stays when the descriptor is closed and goes away with its
// namespace: unregistering it takes the kernel some 40 ms, in which closing would block.
// Throws std::system_error naming /dev/net/tun or the ioctl that failed.
// Source: Linux Documentation/networking/tuntap.rst; linux/if_tun.h.
FileDescriptor make_tun_device(const std::string& name, Offloads offloads);

}  // namespace memsync
