#include <algorithm>
#include <cstdio>
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

std::unique_ptr<RegionService> connect(const SideSetup& setup) {
  return setup.transport->connect(*setup.network, kSourceHost, kServiceName, setup.geometry,
                                  setup.region, after(setup.connect_limit));
}

}  // namespace

DestinationSide::DestinationSide(SideSetup setup, const Settings& settings,
                                 const Priority& priority)
    : setup_(checked(std::move(setup))),
      guide_(settings, setup_, priority),
      peer_(connect(setup_)),
      memory_(std::make_unique<OwnMemory>(setup_.store->mapping())),
      pager_(
          std::make_unique<Pager>(*memory_, setup_.geometry, settings, *peer_, guide_.guidance())) {
  if (settings.is_eager)
    pager_->await_ahead(guide_.order(), after(setup_.connect_limit), setup_.stop);
}

DestinationSide::~DestinationSide() {
  pager_->stop();
  keep_trace();
  peer_.reset();  // completes what is open; nothing refers to the pager afterwards
}

// A run that failed touched only a part of what the next one will. Without a trace the next run
// records again, and its statistics say so.
void DestinationSide::keep_trace() const noexcept {
  try {
    pager_->rethrow_failure();
    guide_.keep();
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "no trace is kept: %s\n", problem.what());
  }
}

Statistics DestinationSide::statistics() const {
  Statistics result = pager_->statistics();
  result.trace = guide_.use();
  return result;
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
