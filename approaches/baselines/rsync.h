// The rival that everybody has: the rsync program, its daemon at the destination.
//
//   source                                        destination
//   listens for `rsync_control`                   rsync --daemon; connects when it listens
//   rsync FILE rsync://destination/region ──────▶ the daemon writes the file
//   ── "it is there" (rsync_control.h) ─────────▶ open_destination() returns
//   sync() = rsync once more ───────────────────▶
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

#include "approaches/baselines/rsync_program.h"
#include "approaches/sync_strategy.h"
#include "lib/os/mapping.h"
#include "lib/os/mutex.h"
#include "lib/os/temporary_folder.h"

namespace memsync::rsync {

// Holds the region as a mapped file, which rsync reads. Threads: as Side.
class SourceSide : public Side {
 public:
  explicit SourceSide(SideSetup setup);
  ~SourceSide() override;
  RegionView region() override { return {.memory = memory_.bytes(), .path = path_}; }
  std::optional<SyncReport> sync(Deadline deadline) override;
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  void serve();  // the destination that connects: its first copy, then its questions
  bool make_first_copy(Stream& stream);
  void answer_questions(Stream& stream) const;
  uint64_t copy(Deadline deadline);  // runs rsync once; returns the literal bytes
  void wait_for_first_copy(Deadline deadline);
  void park(std::exception_ptr failure);

  SideSetup setup_;
  const std::vector<std::string> switches_;
  const TemporaryFolder folder_;
  const std::string path_;
  const Mapping memory_;
  const FileDescriptor stop_ = FileDescriptor::event();
  const std::unique_ptr<Listener> listener_;
  std::atomic<uint64_t> sent_{0};  // literal bytes
  mutable Mutex mutex_;
  Condition changed_;
  std::unique_ptr<Stream> stream_ GUARDED_BY(mutex_);
  bool is_closing_ GUARDED_BY(mutex_) = false;
  bool first_copy_done_ GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  const std::stop_callback<std::function<void()>> on_stop_;
  std::jthread server_;  // last: what it uses outlives it
};

// Has every byte when it has been constructed. Without --inplace rsync replaces the file, so a view
// is good until region() is asked again after the peer's sync(). Threads: as Side.
class DestinationSide : public Side {
 public:
  explicit DestinationSide(SideSetup setup);
  RegionView region() override;
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  void wait_for_daemon(Deadline deadline) const;
  void ask_for_first_copy();

  SideSetup setup_;
  const TemporaryFolder folder_;
  const std::string path_;
  const Daemon daemon_;
  std::unique_ptr<Stream> stream_;
  mutable Mutex asking_;  // one question at a time
  mutable uint64_t received_ GUARDED_BY(asking_) = 0;
  mutable Mutex mutex_;
  Mapping memory_ GUARDED_BY(mutex_);
  uint64_t mapped_inode_ GUARDED_BY(mutex_) = 0;
};

}  // namespace memsync::rsync
