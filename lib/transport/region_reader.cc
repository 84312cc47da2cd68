#include "lib/transport/region_reader.h"

#include "lib/backend/stores.h"
#include "lib/os/mutex.h"

namespace memsync {

namespace {

// One read's completion, waited for. It always comes: the service ends a request by its deadline.
class OneRead : public CompletionSink {
 public:
  void completed(std::span<Completion> done) noexcept override {
    MutexLock lock(mutex_);
    error_ = done.front().error;
    is_done_ = true;
    changed_.notify_all();
  }
  std::error_code wait() {
    MutexLock lock(mutex_);
    while (!is_done_) changed_.wait(mutex_);
    return error_;
  }

 private:
  Mutex mutex_;
  Condition changed_;
  bool is_done_ GUARDED_BY(mutex_) = false;
  std::error_code error_ GUARDED_BY(mutex_);
};

}  // namespace

void RegionReader::read_at(std::span<std::byte> into, uint64_t offset) {
  check_range(offset, into.size(), size_);
  if (into.empty()) return;
  OneRead read;
  const ReadRequest request{.offset = offset, .into = into, .tag = 0};
  service_.start_reads({&request, 1}, Urgency::demand, after(limit_), read);
  if (const std::error_code error = read.wait())
    throw std::system_error(error, "reading " + std::to_string(into.size()) + " bytes at " +
                                       std::to_string(offset) + " of the region");
}

}  // namespace memsync
