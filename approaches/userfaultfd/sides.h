// The two ends of a session: the source answers reads, the destination brings pages as they are
// touched.
#pragma once

#include <memory>

#include "approaches/sync_strategy.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/prefetch/guide.h"
#include "approaches/userfaultfd/settings.h"
#include "lib/transport/local_region.h"

namespace memsync::userfaultfd {

// Serves the store under this name on its host.
inline constexpr std::string_view kServiceName = "region";

// Answers whoever asks; the application here is stopped when a destination takes the region over.
class SourceSide : public Side {
 public:
  explicit SourceSide(SideSetup setup);
  RegionView region() override;
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  RegionService* service() noexcept override { return &local_; }
  Statistics statistics() const override { return {}; }
  void rethrow_failure() const override {}

 private:
  const SideSetup setup_;
  LocalRegion local_;
  const std::unique_ptr<ServedRegion> served_;
};

// The store's mapping, filled at first touch. Post-copy: finalize() moves nothing, settle() the
// rest.
//
// Bytes that came before finalize() may have been overwritten at the source since (nothing tracks
// that here), so finalize() drops them: what the application then reads is what the source held
// when it stopped.
class DestinationSide : public Side, public Handover {
 public:
  // priority: with Prefetch::priority, instead of the option `first`.
  DestinationSide(SideSetup setup, const Settings& settings, const Priority& priority = {});
  ~DestinationSide() override;

  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Handover* handover() noexcept override { return this; }
  RegionService* service() noexcept override { return local_.get(); }  // after settle()
  Statistics statistics() const override;
  void rethrow_failure() const override { pager_->rethrow_failure(); }

  HandoverReport finalize(Deadline deadline) override;
  Nanoseconds settle(Deadline deadline) override;

 private:
  void keep_trace() const noexcept;
  void throw_if_lost() const;

  const SideSetup setup_;
  Guide guide_;  // the pager records into it
  std::unique_ptr<RegionService> peer_;
  const std::unique_ptr<RegionMemory> memory_;
  const std::unique_ptr<Pager> pager_;
  std::unique_ptr<LocalRegion> local_;  // the new owner's
  bool owner_ = false;
};

}  // namespace memsync::userfaultfd
