// The two sides of a session that speaks the thesis's protocol (thesis/README.md): no detector, no
// versions, no hand-over.
#pragma once

#include <atomic>
#include <exception>
#include <thread>

#include "approaches/mmap_push/region_source.h"
#include "approaches/mmap_push/thesis/receiver.h"
#include "approaches/mmap_push/thesis/source.h"
#include "approaches/sync_strategy.h"
#include "lib/os/mutex.h"
#include "lib/os/temporary_folder.h"

namespace memsync::mmap_push {

inline constexpr std::string_view kThesisServiceName = "mmap_push_thesis";

// Threads: as Side.
class ThesisSourceSide : public Side {
 public:
  ThesisSourceSide(SideSetup setup, const Settings& settings);
  ~ThesisSourceSide() override;
  RegionView region() override { return {.memory = region_.memory(), .path = region_.path()}; }
  // A round: both ends hash everything.
  std::optional<SyncReport> sync(Deadline deadline) override;
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  void serve();  // the destination's first copy
  void park(std::exception_ptr failure);

  const SideSetup setup_;
  const Settings settings_;
  const TemporaryFolder folder_;
  RegionSource region_;
  const std::unique_ptr<Listener> listener_;
  std::atomic<uint64_t> sent_{0}, rounds_{0};
  // Made by server_, which does nothing more once the first copy is there; sync() waits for that.
  std::unique_ptr<thesis::ThesisSource> source_;
  mutable Mutex mutex_;  // held for a moment only, never during a round
  Condition changed_;
  Stream* connection_ GUARDED_BY(mutex_) = nullptr;  // source_'s
  bool is_ending_ GUARDED_BY(mutex_) = false;
  bool has_first_copy_ GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  std::jthread server_;  // last: what it uses outlives it
};

// Has the first copy when it has been constructed; a reader may see half a round. Threads: as Side.
class ThesisDestinationSide : public Side {
 public:
  ThesisDestinationSide(SideSetup setup, const Settings& settings);
  RegionView region() override { return {.memory = memory_.bytes(), .path = path_}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  void serve(const std::stop_token& stop, std::unique_ptr<Stream> stream);
  void wait_for_first_copy();

  const SideSetup setup_;
  const Settings settings_;
  const TemporaryFolder folder_;
  const std::string path_;
  Mapping memory_;
  std::atomic<uint64_t> received_{0};
  mutable Mutex mutex_;
  Condition changed_;
  bool has_first_copy_ GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  bool has_ended_ GUARDED_BY(mutex_) = false;
  std::jthread server_;  // last: what it uses outlives it
};

}  // namespace memsync::mmap_push
