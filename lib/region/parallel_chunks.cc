#include "lib/region/parallel_chunks.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <sched.h>
#include <thread>
#include <vector>

#include "lib/os/mutex.h"

namespace memsync {

namespace {

unsigned usable_cpus() {
  cpu_set_t cpus;
  if (::sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
    return std::max(1u, static_cast<unsigned>(CPU_COUNT(&cpus)));
  return std::max(1u, std::thread::hardware_concurrency());
}

// Threads: run() from all workers, rethrow() after they have ended.
class Batches {
 public:
  Batches(ChunkIndex count, ChunkIndex batch,
          const std::function<void(ChunkIndex, ChunkIndex)>& work)
      : count_(count), batch_(batch), work_(work) {}

  void run() noexcept {
    try {
      while (!failed_) {
        const ChunkIndex first = next_.fetch_add(batch_);
        if (first >= count_) return;
        work_(first, std::min(first + batch_, count_));
      }
    } catch (...) {
      MutexLock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      failed_ = true;
    }
  }
  void rethrow() {
    MutexLock lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const ChunkIndex count_;
  const ChunkIndex batch_;
  const std::function<void(ChunkIndex, ChunkIndex)>& work_;
  std::atomic<ChunkIndex> next_ = 0;
  std::atomic<bool> failed_ = false;
  Mutex mutex_;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
};

}  // namespace

void parallel_chunks(ChunkIndex count, unsigned workers, ChunkIndex batch,
                     const std::function<void(ChunkIndex first, ChunkIndex end)>& work) {
  Batches batches(count, batch, work);
  const ChunkIndex useful = count / batch + (count % batch != 0);
  const ChunkIndex wanted = workers == 0 ? usable_cpus() : workers;
  {
    std::vector<std::jthread> others;
    for (ChunkIndex i = 1; i < std::min(wanted, useful); ++i)
      others.emplace_back([&] { batches.run(); });
    batches.run();
  }
  batches.rethrow();
}

}  // namespace memsync
