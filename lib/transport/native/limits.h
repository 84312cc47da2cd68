// What both ends of the native protocol keep within.
#pragma once

#include <cstddef>
#include <cstdint>

namespace memsync::native {

// One receive: what 64 answers of 4 KiB and their headers take, and still in the second-level
// cache.
inline constexpr size_t kStagingBytes = 320U << 10;
// One send: as much payload as is worth a system call of its own.
inline constexpr size_t kBatchPayload = 256U << 10;
// The kernel keeps no more than this unsent, so that what is urgent is not queued behind more. One
// batch fits: with half of it, 64 answers of 4 KiB in flight on loopback stopped and woke again.
inline constexpr int kUnsentBytes = 256 << 10;
// Background is only written while less than this is unsent. Half of the above: the kernel calls
// the socket writable below that.
inline constexpr int kUnsentForBackground = kUnsentBytes / 2;

// TCP_NOTSENT_LOWAT; does nothing on a UNIX socket. Source: tcp(7) and
// Documentation/networking/ip-sysctl.rst, "tcp_notsent_lowat".
void limit_unsent_bytes(int descriptor) noexcept;
// Bytes that the kernel has not sent yet; 0 where it does not say (UNIX sockets).
int unsent_bytes(int descriptor) noexcept;

}  // namespace memsync::native
