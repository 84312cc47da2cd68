// What newer kernels understand and the headers of Debian 12 (6.1) do not name yet. Whether the
// running kernel offers it is asked at run time.
// Source: Linux include/uapi/linux/userfaultfd.h, include/uapi/linux/fs.h (6.7).
#pragma once

#include <cstdint>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

namespace memsync {

// Since 6.6: pages whose access raises SIGBUS (userfaultfd.rst, "Memory Poisioning Emulation").
inline constexpr uint64_t kFeaturePoison = uint64_t{1} << 14;
struct PoisonRequest {
  uffdio_range range;
  uint64_t mode;    // 0: wake the waiting threads
  int64_t updated;  // bytes poisoned, or a negative errno
};
inline constexpr unsigned long kIoctlPoison = _IOWR(UFFDIO, 0x08, PoisonRequest);

// Since 6.4: absent pages of anonymous memory can be protected.
inline constexpr uint64_t kFeatureProtectsAbsent = uint64_t{1} << 13;

// Since 6.7: a write to a protected page lifts the protection by itself.
inline constexpr uint64_t kFeatureAsyncProtection = uint64_t{1} << 15;

// Since 6.1, but absent from older headers.
inline constexpr unsigned long kIoctlNewUserfault = _IO(0xAA, 0x00);

// Since 6.7: pages by category, with their protection in one step (pagemap.rst, PAGEMAP_SCAN).
struct ScannedRun {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
struct PagemapScan {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
inline constexpr unsigned long kIoctlPagemapScan = _IOWR('f', 16, PagemapScan);
inline constexpr uint64_t kScanProtectMatching = uint64_t{1} << 0;
inline constexpr uint64_t kScanCheckAsync = uint64_t{1} << 1;
inline constexpr uint64_t kPageIsWritten = uint64_t{1} << 1;
inline constexpr uint64_t kPageIsPresent = uint64_t{1} << 3;
inline constexpr uint64_t kPageIsSwapped = uint64_t{1} << 4;

}  // namespace memsync
