// What both ends of the native protocol keep within.
#pragma once

#include <cstddef>
#include <cstdint>

namespace memsync::native {

// One receive at the server, which gets requests: what 64 writes of 4 KiB and their headers take.
inline constexpr size_t kRequestStagingBytes = 320U << 10;
// One receive at the client, which gets answers: as much as a server may have unsent.
inline constexpr size_t kReplyStagingBytes = 1U << 20;
// One send of requests: as much payload as is worth a system call of its own.
inline constexpr size_t kBatchPayload = 256U << 10;

// How much the kernel keeps of one connection that it has not sent yet: what is urgent queues
// behind that. No less than one batch: with half of it, 64 answers of 4 KiB in flight on loopback
// stopped and woke again. More where the connection is so fast that it is gone in half a
// millisecond: a bulk read on loopback then wakes its two ends a quarter as often.
// Does nothing on a UNIX socket. Threads: one. Source: tcp(7), TCP_NOTSENT_LOWAT and TCP_INFO;
// Documentation/networking/ip-sysctl.rst, "tcp_notsent_lowat".
class UnsentLimit {
 public:
  static constexpr size_t kMin = kBatchPayload, kMax = 1U << 20;

  explicit UnsentLimit(int descriptor) noexcept;
  size_t bytes() const noexcept { return bytes_; }
  // Looks at the connection's rate again, once per kMax bytes. `written`: in all, so far.
  void follow(uint64_t written) noexcept;

 private:
  void set(size_t bytes) noexcept;

  const int descriptor_;
  size_t bytes_ = 0;
  uint64_t looked_at_ = 0;
};
// The limit for a connection of `bytes_per_s`: a power of two between kMin and kMax.
size_t unsent_limit_at(uint64_t bytes_per_s) noexcept;
// Bytes that the kernel has not sent yet; 0 where it does not say (UNIX sockets).
size_t unsent_bytes(int descriptor) noexcept;

}  // namespace memsync::native
