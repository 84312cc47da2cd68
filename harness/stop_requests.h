// Ctrl-C for what runs in several threads, or wants to end in order first.
#pragma once

#include <stop_token>
#include <thread>

#include "harness/interrupt.h"
#include "lib/os/clock.h"

namespace memsync {

// Threads: any.
class StopRequests {
 public:
  // What the first signal does; every later one cancels.
  enum class First : uint8_t { asks, cancels };
  // `interrupts` outlives this; nobody else takes its signals.
  StopRequests(InterruptWatch& interrupts, First first);
  ~StopRequests();

  std::stop_token asked() const noexcept { return asked_.get_token(); }          // to end in order
  std::stop_token cancelled() const noexcept { return cancelled_.get_token(); }  // to end at once

 private:
  void watch(std::stop_token end);

  InterruptWatch& interrupts_;
  const FileDescriptor wake_ = FileDescriptor::event();
  std::stop_source asked_, cancelled_;
  std::jthread watcher_;  // last: what it uses outlives it
};

// Returns early, and true, when the stop is requested.
bool wait_until(Deadline deadline, const std::stop_token& stop);

}  // namespace memsync
