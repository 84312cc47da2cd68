// The source's side with several destinations: a connection and a sender for each, one detector.
#pragma once

#include <atomic>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "approaches/mmap_push/region_source.h"
#include "approaches/mmap_push/sender.h"
#include "approaches/mmap_push/settings.h"
#include "approaches/mmap_push/shared_source.h"
#include "lib/os/mutex.h"
#include "lib/os/temporary_folder.h"

namespace memsync::mmap_push {

// Each change leaves the source once per destination; all are sent to at once. A destination that
// fails ends the session of all. No hand-over, no syncs by interval, rounds that are fuzzy.
// Threads: as Side.
class StarSourceSide : public Side {
 public:
  StarSourceSide(SideSetup setup, const Settings& settings);
  ~StarSourceSide() override;

  RegionView region() override { return {.memory = source_.memory(), .path = source_.path()}; }
  // Returns when all destinations have published the round.
  std::optional<SyncReport> sync(Deadline deadline) override;
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  struct Destination {
    std::unique_ptr<Stream> stream;
    std::unique_ptr<Sender> sender;
    std::exception_ptr failure;  // of the last round
    SyncReport report;
    std::jthread first_copy;  // last: uses the others
  };

  void accept_all();
  void make_first_copy(size_t index);
  void wait_for_first_copies(Deadline deadline);
  void park(std::exception_ptr failure);

  const SideSetup setup_;
  const Settings settings_;
  const TemporaryFolder folder_;
  RegionSource source_;
  SharedSource shared_;
  const std::unique_ptr<Listener> listener_;
  std::atomic<uint64_t> sent_{0}, rounds_{0};
  mutable Mutex mutex_;
  Condition changed_;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  bool is_ending_ GUARDED_BY(mutex_) = false;
  size_t ready_ GUARDED_BY(mutex_) = 0;  // destinations that have their first copy
  // As many as there will be. Each is its first copy's until that is made, then sync()'s; its
  // stream is set under mutex_.
  std::vector<Destination> destinations_;
  std::jthread server_;  // last: what it uses outlives it
};

}  // namespace memsync::mmap_push
