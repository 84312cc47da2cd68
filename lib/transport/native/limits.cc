#include "lib/transport/native/limits.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace memsync::native {

void limit_unsent_bytes(int descriptor) noexcept {
  const int bytes = kUnsentBytes;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

int unsent_bytes(int descriptor) noexcept {
  int bytes = 0;
  return ::ioctl(descriptor, SIOCOUTQNSD, &bytes) == 0 ? bytes : 0;
}

}  // namespace memsync::native
