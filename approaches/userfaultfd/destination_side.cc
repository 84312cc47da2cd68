#include <algorithm>
#include <stdexcept>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/sides.h"
#include "lib/os/error.h"

namespace memsync::userfaultfd {

namespace {

constexpr std::string_view kSourceHost = "source";
// How long a failed hand-over tries to give the region back.
constexpr Nanoseconds kGiveBackLimit = std::chrono::seconds(2);

SideSetup checked(SideSetup setup) {
  if (!setup.store || setup.network == nullptr || setup.transport == nullptr)
    throw std::invalid_argument(
        "userfaultfd's destination needs a store, a network and a transport");
  if (setup.store->mapping().size() != setup.geometry.size_bytes)
    throw std::invalid_argument("userfaultfd needs a store in memory of the region's size (" +
                                std::to_string(setup.geometry.size_bytes) + " bytes); it has " +
                                std::to_string(setup.store->mapping().size()));
  return setup;
}

std::unique_ptr<Reader> open_copy(const SideSetup& setup, const Settings& settings) {
  if (settings.bytes_from == BytesFrom::peer) return nullptr;
  if (!setup.open_copy)
    throw std::invalid_argument(
        "there is no copy of the bytes on this host; take backend=peer, which asks the source");
  return setup.open_copy();
}

std::unique_ptr<RegionService> connect(const SideSetup& setup, Reader* copy) {
  if (copy != nullptr)
    return std::make_unique<LocalRegion>(*copy, nullptr, setup.region, LocalRegion::Hooks{},
                                         LocalRegion::Reads::demand_at_once);
  return setup.transport->connect(*setup.network, kSourceHost, kServiceName, setup.geometry,
                                  setup.region, after(setup.connect_limit));
}

}  // namespace

DestinationSide::DestinationSide(SideSetup setup, const Settings& settings)
    : setup_(checked(std::move(setup))),
      copy_(open_copy(setup_, settings)),
      peer_(connect(setup_, copy_.get())),
      memory_(std::make_unique<OwnMemory>(setup_.store->mapping())),
      pager_(std::make_unique<Pager>(*memory_, setup_.geometry, settings, *peer_)) {}

DestinationSide::~DestinationSide() {
  pager_->stop();
  peer_.reset();  // completes what is open; nothing refers to the pager afterwards
}

Statistics DestinationSide::statistics() const {
  return pager_->statistics();
}

HandoverReport DestinationSide::finalize(Deadline deadline) {
  if (owner_) throw std::logic_error("the region has been taken over already");
  HandoverReport report;
  const auto start = Clock::now();
  pager_->hold();
  try {
    const Suspension suspension = peer_->suspend_and_collect(setup_.region.epoch, {}, deadline);
    const auto suspended = Clock::now();
    report.suspend = std::min<Nanoseconds>(suspension.suspending, suspended - start);
    report.collect = suspended - start - report.suspend;
    pager_->go_on(Pager::Pages::drop);
    if (setup_.resume_app) setup_.resume_app();
    report.resume = Clock::now() - suspended;
  } catch (...) {
    // Even when no answer came the source may have stopped: it is told to go on either way.
    try {
      peer_->resume(setup_.region.epoch, after(kGiveBackLimit));
    } catch (const std::exception&) {  // gone: the first failure says more
    }
    pager_->go_on(Pager::Pages::keep);
    throw;
  }
  owner_ = true;
  return report;
}

Nanoseconds DestinationSide::settle(Deadline deadline) {
  if (!owner_) throw std::logic_error("settle() comes after finalize()");
  const auto start = Clock::now();
  if (local_) return {};
  pager_->pull_everything(deadline, setup_.stop);
  throw_if_lost();
  pager_->finish();
  RegionId next = setup_.region;
  ++next.epoch;
  local_ = std::make_unique<LocalRegion>(*setup_.store, setup_.store.get(), next,
                                         LocalRegion::Hooks{.suspend_app = setup_.suspend_app,
                                                            .resume_app = setup_.resume_app,
                                                            .collect_dirty = {},
                                                            .start_tracking = {},
                                                            .released = {},
                                                            .on_exchange = {}});
  peer_->release(next.epoch, deadline);
  return Clock::now() - start;
}

// The bytes are gone for good: the source had the only copy. Touching them raises SIGBUS.
void DestinationSide::throw_if_lost() const {
  auto ranges = pager_->lost();
  if (ranges.empty()) {
    pager_->rethrow_failure();
    return;
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
  uint64_t total = 0;
  for (const ByteRange& range : ranges) total += range.length;
  std::string first;
  for (const ByteRange& range : std::span(ranges).first(std::min<size_t>(ranges.size(), 4)))
    first += (first.empty() ? "" : ", ") + std::to_string(range.length) + " at " +
             std::to_string(range.offset);
  const std::string attempt = "settling: " + std::to_string(total) + " bytes are lost (" + first +
                              (ranges.size() > 4 ? ", ..." : "") + ")";
  try {
    pager_->rethrow_failure();
  } catch (const std::system_error& cause) {
    throw std::system_error(cause.code(), attempt);
  }
  throw_errno(attempt, EIO);
}

}  // namespace memsync::userfaultfd
