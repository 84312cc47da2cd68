#include "lib/os/awake_cpus.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace memsync {

AwakeCpus::AwakeCpus() noexcept {
  constexpr int32_t kLatency_us = 0;
  FileDescriptor device{::open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC)};
  if (device.is_open() &&
      ::write(device.get(), &kLatency_us, sizeof kLatency_us) == sizeof kLatency_us)
    request_ = std::move(device);
  else
    problem_ = std::string("/dev/cpu_dma_latency: ") + std::strerror(errno);
}

}  // namespace memsync
