// Paging without userfaultfd, the older way: memory that may not be touched, and a SIGSEGV handler.
//
//   touching thread                         one memory file, mapped twice
//   SIGSEGV ─▶ repair(): claims the unit    alias: always writable ◀── the bytes
//              reads it from local bytes    view:  PROT_NONE, the application's
//              or from the peer             mprotect(view, read and write): the touch goes on
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "approaches/sync_strategy.h"
#include "lib/os/access_faults.h"
#include "lib/os/mapping.h"
#include "lib/os/mutex.h"
#include "lib/transport/local_region.h"

namespace memsync::sigsegv {

std::span<const OptionSpec> option_specs() noexcept;
std::vector<std::string> problems(const Options& options);

// Answers whoever asks.
class SourceSide : public Side {
 public:
  explicit SourceSide(SideSetup setup);
  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  RegionService* service() noexcept override { return &local_; }
  Statistics statistics() const override { return {}; }
  void rethrow_failure() const override {}

 private:
  const SideSetup setup_;
  LocalRegion local_;
  const std::unique_ptr<ServedRegion> served_;
};

// A unit that can't be had stays untouchable: its touch ends in SIGSEGV, the failure is parked.
// Destroying it waits for reads under way, at most as long as their deadline.
class DestinationSide : public Side, private FaultRepair {
 public:
  explicit DestinationSide(SideSetup setup);
  RegionView region() override { return {.memory = view_.bytes(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  enum UnitState : uint32_t { missing, asked, present, lost };

  bool repair(std::byte* address) noexcept override;
  bool bring(uint64_t unit) noexcept;

  const SideSetup setup_;
  const uint64_t unit_bytes_;
  const std::unique_ptr<RegionService> peer_;  // null: the bytes are here
  const std::unique_ptr<Reader> bytes_;
  const FileDescriptor file_;
  const Mapping alias_, view_;
  std::vector<std::atomic<uint32_t>> units_;  // UnitState each
  std::atomic<uint64_t> faults_{0}, received_{0};
  mutable Mutex mutex_;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  std::optional<RepairedRange> range_;  // last: from then on nobody is inside repair()
};

}  // namespace memsync::sigsegv
