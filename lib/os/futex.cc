#include "lib/os/futex.h"

#include <climits>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

bool futex_wait(uint32_t& word, uint32_t expected, Deadline deadline) {
  timespec limit{};
  if (deadline != Deadline::max()) {
    // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, which is what Deadline is.
    const auto since_boot = deadline.time_since_epoch();
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
    limit.tv_sec = whole.count();
    limit.tv_nsec = (since_boot - whole).count();
  }
  // Not FUTEX_PRIVATE_FLAG: the word may be shared with another process.
  const long status =
      ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected,
                deadline == Deadline::max() ? nullptr : &limit, nullptr, FUTEX_BITSET_MATCH_ANY);
  if (status == 0 || errno == EAGAIN || errno == EINTR) return true;
  if (errno == ETIMEDOUT) return false;
  throw_errno("waiting on a futex");
}

void futex_wake(uint32_t& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace memsync
