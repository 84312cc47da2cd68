#include "lib/os/tun_device.h"

#include <cstring>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "lib/os/error.h"

// Newer than Debian 12's headers (Linux 6.2).
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace memsync {

FileDescriptor make_tun_device(const std::string& name, Offloads offloads) {
  FileDescriptor device = FileDescriptor::open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  check(::ioctl(device.get(), TUNSETIFF, &request), "making the TUN device " + name);
  if (offloads == Offloads::on) {
    constexpr unsigned long kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    constexpr unsigned long kUdp = TUN_F_USO4 | TUN_F_USO6;
    // A kernel before 6.2 refuses the unknown UDP bits as a whole.
    if (::ioctl(device.get(), TUNSETOFFLOAD, kTcp | kUdp) < 0)
      check(::ioctl(device.get(), TUNSETOFFLOAD, kTcp), "switching on offloads of " + name);
  }
  check(::ioctl(device.get(), TUNSETPERSIST, 1), "letting " + name + " outlive its descriptor");
  return device;
}

}  // namespace memsync
