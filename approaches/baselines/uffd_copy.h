// The ceiling of answering faults: the same copies without a fault, from this host's own memory.
//
//   open_destination():  local bytes ── UFFDIO_COPY, a unit at a time ──▶ the region
#pragma once

#include "approaches/sync_strategy.h"

namespace memsync::uffd_copy {

std::span<const OptionSpec> option_specs() noexcept;

// Holds the bytes and is asked for none.
class SourceSide : public Side {
 public:
  explicit SourceSide(SideSetup setup) : setup_(std::move(setup)) {}
  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Statistics statistics() const override { return {}; }
  void rethrow_failure() const override {}

 private:
  const SideSetup setup_;
};

// Has every byte when it has been constructed.
class DestinationSide : public Side {
 public:
  explicit DestinationSide(SideSetup setup);
  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Statistics statistics() const override;
  void rethrow_failure() const override {}

 private:
  const SideSetup setup_;
};

}  // namespace memsync::uffd_copy
