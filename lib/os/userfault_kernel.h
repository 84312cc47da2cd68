// What newer kernels understand and the headers of Debian 12 (6.1) do not name yet.
#pragma once

#include <cstdint>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

namespace memsync {

// Since 6.6: pages whose access raises SIGBUS. Offered or not is asked at run time.
// Source: Linux include/uapi/linux/userfaultfd.h; admin-guide/mm/userfaultfd.rst, "Memory
// Poisioning Emulation".
inline constexpr uint64_t kFeaturePoison = uint64_t{1} << 14;

struct PoisonRequest {
  uffdio_range range;
  uint64_t mode;    // 0: wake the waiting threads
  int64_t updated;  // bytes poisoned, or a negative errno
};
inline constexpr unsigned long kIoctlPoison = _IOWR(UFFDIO, 0x08, PoisonRequest);

// Since 6.1, but absent from older headers.
inline constexpr unsigned long kIoctlNewUserfault = _IO(0xAA, 0x00);

}  // namespace memsync
