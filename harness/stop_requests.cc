#include "harness/stop_requests.h"

#include <array>
#include <poll.h>

#include "lib/os/mutex.h"

namespace memsync {

StopRequests::StopRequests(InterruptWatch& interrupts, First first) : interrupts_(interrupts) {
  if (first == First::cancels) asked_.request_stop();
  watcher_ = std::jthread([this](std::stop_token end) { watch(std::move(end)); });
}

StopRequests::~StopRequests() {
  watcher_.request_stop();
  signal_event(wake_);
}

void StopRequests::watch(std::stop_token end) {
  while (!end.stop_requested()) {
    std::array<pollfd, 2> waits{
        {{interrupts_.descriptor().get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), -1) < 0 || !interrupts_.take()) continue;
    if (!asked_.request_stop()) cancelled_.request_stop();  // false: it was requested before
  }
}

bool wait_until(Deadline deadline, const std::stop_token& stop) {
  Mutex mutex;
  Condition stopped;
  const MutexLock lock(mutex);
  return stopped.wait_until(mutex, stop, deadline, [&] { return stop.stop_requested(); });
}

}  // namespace memsync
