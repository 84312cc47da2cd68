// Page faults that the kernel counts for the calling thread. For tests and benchmarks.
#pragma once

#include <cstdint>
#include <sys/resource.h>

namespace memsync::userfaultfd {

// Minor: resolved without waiting for a disk, a userfault among them. Major: after reading one.
struct ThreadFaults {
  uint64_t minor = 0;
  uint64_t major = 0;

  static ThreadFaults now() {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return {static_cast<uint64_t>(usage.ru_minflt), static_cast<uint64_t>(usage.ru_majflt)};
  }
  ThreadFaults operator-(const ThreadFaults& before) const {
    return {minor - before.minor, major - before.major};
  }
};

}  // namespace memsync::userfaultfd
