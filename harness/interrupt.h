// Ctrl-C and SIGTERM as something to poll for.
#pragma once

#include <stdexcept>

#include "lib/os/file_descriptor.h"

namespace memsync {

// The person asked to stop.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

// Takes SIGINT, SIGTERM and SIGHUP out of their usual way for this process and every thread that is
// started afterwards; make it first, in the main thread. Source: signalfd(2).
class InterruptWatch {
 public:
  InterruptWatch();
  const FileDescriptor& descriptor() const noexcept { return signals_; }  // readable when asked
  // Throws Interrupted when a signal came; stays so ever after.
  void check();
  // Takes one signal off the queue; false: there is none. Threads: one of them calls this.
  bool take();

 private:
  FileDescriptor signals_;
  bool came_ = false;
};

}  // namespace memsync
