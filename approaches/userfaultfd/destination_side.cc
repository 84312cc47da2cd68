#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/sides.h"
#include "approaches/userfaultfd/write_back.h"
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

DestinationSide::DestinationSide(SideSetup setup, const Settings& settings,
                                 const Priority& priority)
    : setup_(checked(std::move(setup))),
      settings_(settings),
      guide_(settings, setup_, priority),
      copy_(open_copy(setup_, settings)),
      peer_(connect(setup_, copy_.get())),
      memory_(std::make_unique<OwnMemory>(setup_.store->mapping(), memory_wishes(settings))),
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

std::optional<SyncReport> DestinationSide::sync(Deadline deadline) {
  if (settings_.writes != Writes::back) return std::nullopt;
  const auto start = Clock::now();
  if (!pager_->lost().empty()) pager_->rethrow_failure();  // what can't be read can't be sent
  for (const ByteRange& range : memory_->take_written()) unsent_.push_back(range);
  SyncReport report{.chunks_examined = 0, .chunks_moved = 0, .payload_bytes = 0, .elapsed = {}};
  report.payload_bytes = write_back(*peer_, memory_->memory(), unsent_, deadline);
  unsent_.clear();
  report.chunks_moved =
      (report.payload_bytes + setup_.geometry.chunk_bytes - 1) / setup_.geometry.chunk_bytes;
  report.elapsed = Clock::now() - start;
  return report;
}

HandoverReport DestinationSide::finalize(Deadline deadline) {
  if (owner_) throw std::logic_error("the region has been taken over already");
  if (settings_.share_before_handover > 0)
    pager_->pull(settings_.share_before_handover, deadline, setup_.stop);
  sync(deadline);
  HandoverReport report;
  pager_->hold();
  try {
    const Suspension suspension = suspend_source(deadline, report);
    const auto suspended = Clock::now();
    pager_->go_on_without(stale_after(suspension));
    if (setup_.resume_app) setup_.resume_app();
    report.resume = Clock::now() - suspended;
  } catch (...) {
    // Even when no answer came the source may have stopped: it is told to go on either way.
    try {
      peer_->resume(setup_.region.epoch, after(kGiveBackLimit));
    } catch (const std::exception&) {  // gone: the first failure says more
    }
    pager_->go_on();
    throw;
  }
  owner_ = true;
  return report;
}

Suspension DestinationSide::suspend_source(Deadline deadline, HandoverReport& report) {
  const auto start = Clock::now();
  Suspension suspension = peer_->suspend_and_collect(setup_.region.epoch, {}, deadline);
  const auto suspended = Clock::now();
  report.suspend = std::min<Nanoseconds>(suspension.suspending, suspended - start);
  report.collect = suspended - start - report.suspend;
  return suspension;
}

// What may differ from what the source held when it stopped.
std::vector<ByteRange> DestinationSide::stale_after(const Suspension& suspension) const {
  if (settings_.writes == Writes::back) return {};  // it only read
  std::vector<ByteRange> stale;
  for (const ChunkIndex chunk : suspension.dirty_chunks)
    stale.push_back({setup_.geometry.chunk_start(chunk), setup_.geometry.chunk_length(chunk)});
  return stale;
}

Nanoseconds DestinationSide::settle(Deadline deadline) {
  if (!owner_) throw std::logic_error("settle() comes after finalize()");
  const auto start = Clock::now();
  if (local_) return {};
  pager_->pull(1, deadline, setup_.stop);
  // What the application dropped, before it owned the region or since, is still the source's to
  // give.
  pager_->bring_again(memory_->absent(), deadline);
  throw_if_lost();
  pager_->finish(deadline);
  serve_as_owner();
  peer_->release(setup_.region.epoch + 1, deadline);
  return Clock::now() - start;
}

void DestinationSide::serve_as_owner() {
  if (settings_.tracking != Userfault::WriteTracking::none)
    tracker_ = WriteTracker::open(memory_->memory(), setup_.geometry, settings_.tracking);
  RegionId next = setup_.region;
  ++next.epoch;
  LocalRegion::Hooks hooks;
  hooks.suspend_app = setup_.suspend_app;
  hooks.resume_app = setup_.resume_app;
  hooks.collect_dirty = [this] { return written_chunks(tracker_.get(), setup_.geometry); };
  local_ = std::make_unique<LocalRegion>(*setup_.store, setup_.store.get(), next, std::move(hooks));
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
