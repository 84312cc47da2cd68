#include "lib/transport/native/limits.h"

#include <algorithm>
#include <bit>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace memsync::native {

size_t unsent_limit_at(uint64_t bytes_per_s) noexcept {
  const uint64_t gone_soon = bytes_per_s / 2000;  // in half a millisecond
  return std::bit_floor(std::clamp<uint64_t>(gone_soon, UnsentLimit::kMin, UnsentLimit::kMax));
}

UnsentLimit::UnsentLimit(int descriptor) noexcept : descriptor_(descriptor) {
  set(kMin);
}

void UnsentLimit::follow(uint64_t written) noexcept {
  if (written - looked_at_ < kMax) return;
  looked_at_ = written;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(descriptor_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
  if (const size_t bytes = unsent_limit_at(info.tcpi_delivery_rate); bytes != bytes_) set(bytes);
}

void UnsentLimit::set(size_t bytes) noexcept {
  bytes_ = bytes;
  const int value = static_cast<int>(bytes);
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, sizeof value);
}

size_t unsent_bytes(int descriptor) noexcept {
  int bytes = 0;
  return ::ioctl(descriptor, SIOCOUTQNSD, &bytes) == 0 ? static_cast<size_t>(bytes) : 0;
}

}  // namespace memsync::native
