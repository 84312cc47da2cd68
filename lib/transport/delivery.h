// Completions handed to their sinks one call at a time, whichever threads they come from.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "lib/os/mutex.h"
#include "lib/transport/region_service.h"

namespace memsync {

// Whoever adds to an empty desk delivers until it is empty again; others, and sinks that start
// requests from inside completed(), only add. So no call waits for another and none nests.
// Threads: any.
class DeliveryDesk {
 public:
  void deliver(CompletionSink& sink, std::vector<Completion> done) {
    MutexLock lock(mutex_);
    waiting_.emplace_back(&sink, std::move(done));
    if (delivering_) return;
    delivering_ = true;
    while (!waiting_.empty()) {
      auto [next_sink, next] = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      next_sink->completed(next);
      lock.lock();
    }
    delivering_ = false;
  }

 private:
  Mutex mutex_;
  std::deque<std::pair<CompletionSink*, std::vector<Completion>>> waiting_ GUARDED_BY(mutex_);
  bool delivering_ GUARDED_BY(mutex_) = false;
};

}  // namespace memsync
