// The two ends of a session: the source answers reads, the destination brings pages as they are
// touched.
#pragma once

#include <memory>

#include "approaches/sync_strategy.h"
#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/prefetch/guide.h"
#include "approaches/userfaultfd/settings.h"
#include "lib/region/write_tracker.h"
#include "lib/transport/local_region.h"

namespace memsync::userfaultfd {

// Serves the store under this name on its host.
inline constexpr std::string_view kServiceName = "region";

// What a hand-over must take for written: all, where nobody tracks.
std::vector<ChunkIndex> written_chunks(WriteTracker* tracker, const Geometry& geometry);

// Answers whoever asks; the application here is stopped when a destination takes the region over.
class SourceSide : public Side {
 public:
  SourceSide(SideSetup setup, const Settings& settings);
  RegionView region() override;
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  RegionService* service() noexcept override { return &local_; }
  Statistics statistics() const override { return {}; }
  void rethrow_failure() const override {}

 private:
  LocalRegion::Hooks hooks();

  const SideSetup setup_;
  const std::unique_ptr<WriteTracker> tracker_;  // null: nothing is tracked
  LocalRegion local_;
  const std::unique_ptr<ServedRegion> served_;
};

// The store's mapping, filled at first touch from the source or from a copy on this host, which
// leaves nothing to hand over. Post-copy: finalize() moves nothing, or the agreed share while the
// source still runs; settle() the rest.
//
// Bytes that came before finalize() may have been overwritten at the source since. Where the source
// tracks writes, finalize() drops the units it names, else all: what the application then reads is
// what the source held when it stopped.
class DestinationSide : public Side, public Handover {
 public:
  // priority: with Prefetch::priority, instead of the option `first`.
  DestinationSide(SideSetup setup, const Settings& settings, const Priority& priority = {});
  ~DestinationSide() override;

  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  // Writes::back: sends the pages written since the last call to the source; a failure leaves them
  // written, so that the next call sends them.
  std::optional<SyncReport> sync(Deadline deadline) override;
  Handover* handover() noexcept override { return copy_ ? nullptr : this; }
  RegionService* service() noexcept override { return local_.get(); }  // after settle()
  Statistics statistics() const override;
  void rethrow_failure() const override { pager_->rethrow_failure(); }

  HandoverReport finalize(Deadline deadline) override;
  Nanoseconds settle(Deadline deadline) override;

 private:
  Suspension suspend_source(Deadline deadline, HandoverReport& report);
  std::vector<ByteRange> stale_after(const Suspension& suspension) const;
  void keep_trace() const noexcept;
  void serve_as_owner();
  void throw_if_lost() const;

  const SideSetup setup_;
  const Settings settings_;
  Guide guide_;                          // the pager records into it
  const std::unique_ptr<Reader> copy_;   // null: the bytes come from the source
  std::unique_ptr<RegionService> peer_;  // the source, or this process, answering from copy_
  const std::unique_ptr<OwnMemory> memory_;
  std::vector<ByteRange> unsent_;  // written, but not yet at the source
  const std::unique_ptr<Pager> pager_;
  std::unique_ptr<WriteTracker> tracker_;  // the new owner's, for whoever comes next
  std::unique_ptr<LocalRegion> local_;     // likewise
  bool owner_ = false;
};

}  // namespace memsync::userfaultfd
