#include "approaches/userfaultfd/pager.h"

#include <algorithm>

#include "lib/os/error.h"

namespace memsync::userfaultfd {

namespace {
// One answer on the wire should not keep a demand waiting for long.
constexpr uint64_t kBackgroundBytes = 64 << 10;
constexpr Nanoseconds kPauseMax = std::chrono::milliseconds(200);

uint64_t units_in(const Geometry& geometry, const Settings& settings) {
  return (geometry.size_bytes - 1) / settings.unit_bytes + 1;
}
}  // namespace

Pager::Pager(RegionMemory& memory, const Geometry& geometry, const Settings& settings,
             RegionService& source, Guidance guidance)
    : memory_(memory),
      geometry_(geometry),
      settings_(settings),
      source_(source),
      background_bytes_(std::max(settings.unit_bytes, kBackgroundBytes)),
      at_hand_(!source.borrow({0, geometry.size_bytes}).empty()),
      units_(units_in(geometry, settings), State::missing),
      unresolved_(units_.size()),
      prefetcher_(make_prefetcher(settings, units_.size(), std::move(guidance))) {
  if (settings.handler == Handler::sigbus)
    repaired_.emplace(memory.memory(), static_cast<FaultRepair&>(*this));
  // One is enough where faults are signals: what is left to take are the kernel's other reports.
  const unsigned count = settings.handler == Handler::sigbus ? 1 : settings.handlers;
  for (unsigned i = 0; i < count; ++i)
    handlers_.emplace_back([this](std::stop_token stop) { handle_faults(stop); });
}

Pager::~Pager() {
  stop();
}

void Pager::stop() noexcept {
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    landed_.notify_all();
  }
  for (std::jthread& handler : handlers_) handler.request_stop();
  signal_event(wake_up_);
  handlers_.clear();
  repaired_.reset();  // returns once no thread is in repair(), where it may use the source
  MutexLock placing(placing_);
  bool whole = false;
  {
    MutexLock lock(mutex_);
    whole = unresolved_ == 0;
  }
  if (!whole) memory_.make_unreadable();
}

ByteRange Pager::range_of(UnitIndex first, UnitIndex count) const {
  const uint64_t start = first * settings_.unit_bytes;
  return {start, std::min(count * settings_.unit_bytes, geometry_.size_bytes - start)};
}

// --- faults ------------------------------------------------------------------------------------

void Pager::note_fault(uint64_t offset, Clock::time_point now, Plan& plan) {
  ++faults_;
  const UnitIndex unit = unit_of(offset);
  switch (units_[unit]) {
    case State::present:
    case State::lost:
      plan.stale.push_back(offset);
      return;
    case State::missing:
      waiting_.emplace(unit, now);
      if (!held_) demand_page_first(offset, now, plan);
      break;
    case State::background:
      waiting_.emplace(unit, now);
      // The late duplicate of a promoted unit finds its pages present and is dropped.
      if (is_far_back(unit)) demand_unit(unit, plan);
      break;
    case State::demand:
      waiting_.emplace(unit, now);
      break;
  }
  prefetcher_->fault_at(unit);
}

// Whether a unit that is on its way as read-ahead has more before it than the link holds: then
// asking again, ahead of the queue, is faster than waiting.
bool Pager::is_far_back(UnitIndex unit) const {
  const uint64_t near = std::max(link_.bandwidth_delay_bytes(), 4 * background_bytes_);
  for (const Request& request : requests_)
    if (request.range.length != 0 && request.urgency == Urgency::background &&
        request.generation == generation_ && unit_of(request.range.offset) <= unit &&
        unit <= unit_of(request.range.offset + request.range.length - 1))
      return request.queued_behind > background_answered_ + near;
  return true;
}

void Pager::demand(ByteRange range, Kind kind, Deadline deadline, Plan& plan) {
  plan.demands.push_back({{new_request(range, kind, Urgency::demand)}, deadline});
}

void Pager::demand_unit(UnitIndex unit, Plan& plan) {
  units_[unit] = State::demand;
  const auto waiting = waiting_.find(unit);
  const auto since = waiting == waiting_.end() ? Clock::now() : waiting->second;
  demand(range_of(unit, 1), Kind::units, since + settings_.deadline, plan);
}

void Pager::demand_piece(ByteRange range, Deadline deadline, Plan& plan) {
  if (range.length == 0) return;
  ++pieces_[unit_of(range.offset)];
  demand(range, Kind::piece, deadline, plan);
}

// While the connection is cold, the page somebody waits for does not wait for its unit: it fits
// TCP's first flight (10 segments, RFC 6928), 64 KiB take three.
void Pager::demand_page_first(uint64_t offset, Clock::time_point now, Plan& plan) {
  const UnitIndex unit = unit_of(offset);
  const ByteRange whole = range_of(unit, 1);
  if (whole.length <= page_bytes() || !link_.is_cold(now)) {
    demand_unit(unit, plan);
    return;
  }
  units_[unit] = State::demand;
  const Deadline deadline = now + settings_.deadline;
  const uint64_t page_end = std::min(offset + page_bytes(), geometry_.size_bytes);
  demand_piece({offset, page_end - offset}, deadline, plan);
  demand_piece({page_end, whole.offset + whole.length - page_end}, deadline, plan);
  demand_piece({whole.offset, offset - whole.offset}, deadline, plan);
}

// What is wrong with some byte of it need not be wrong with its other pages.
void Pager::demand_pages_of(ByteRange range, Plan& plan) {
  const auto waiting = waiting_.find(unit_of(range.offset));
  const auto since = waiting == waiting_.end() ? Clock::now() : waiting->second;
  for (uint64_t done = 0; done < range.length; done += page_bytes())
    demand_piece({range.offset + done, std::min(page_bytes(), range.length - done)},
                 since + settings_.deadline, plan);
}

void Pager::carry_out(Plan& plan) {
  if (!plan.poison.empty()) {
    MutexLock placing(placing_);
    for (const ByteRange& range : plan.poison) memory_.poison(range);
  }
  for (const ByteRange& range : plan.look_again) memory_.wake(range);
  for (const uint64_t offset : plan.stale) look_again(offset);
  for (const Reads& reads : plan.demands)
    source_.start_reads(reads.requests, Urgency::demand, reads.deadline, *this);
}

// A fault in a unit that is there: it was answered between the fault and its report, or the
// application has dropped the page since (madvise(2)), which then comes from the source again.
void Pager::look_again(uint64_t offset) {
  {
    MutexLock placing(placing_);  // or it is being answered right now
    if (memory_.is_populated(offset)) {
      memory_.wake({offset, page_bytes()});
      return;
    }
  }
  Plan plan;
  {
    MutexLock lock(mutex_);
    demand_again(offset, after(settings_.deadline), plan);
  }
  carry_out(plan);
}

void Pager::demand_again(uint64_t offset, Deadline deadline, Plan& plan) {
  const ByteRange page{offset, std::min(page_bytes(), geometry_.size_bytes - offset)};
  if (is_lost(offset))
    plan.poison.push_back(page);
  else if (again_.insert(offset).second)
    demand(page, Kind::again, deadline, plan);
}

// --- a change of owner -------------------------------------------------------------------------

void Pager::hold() {
  MutexLock lock(mutex_);
  held_ = true;
}

void Pager::go_on() {
  Plan plan;
  {
    MutexLock lock(mutex_);
    let_go_on(plan);
  }
  carry_out(plan);
}

void Pager::go_on_without(std::span<const ByteRange> stale) {
  Plan plan;
  {
    MutexLock placing(placing_);
    MutexLock lock(mutex_);
    if (!lost_.empty())
      throw_errno("taking over a region of which bytes were lost, the first at offset " +
                      std::to_string(lost_.front().offset),
                  EIO);
    ++generation_;
    answered_since_ = false;
    prefetcher_->start_over();
    for (UnitIndex unit = 0; unit < units_.size(); ++unit)
      if (units_[unit] == State::background || units_[unit] == State::demand) forget(unit, 1);
    UnitIndex next = 0;
    for (const ByteRange& range : stale) {
      const UnitIndex first = std::max(next, unit_of(range.offset));
      next = unit_of(range.offset + range.length - 1) + 1;
      if (first < next) forget(first, next - first);
    }
    pieces_.clear();
    for (const uint64_t offset :
         std::exchange(again_, {})) {  // its answer is not believed any more
      waiting_.emplace(unit_of(offset), Clock::now());
      forget(unit_of(offset), 1);
    }
    let_go_on(plan);
  }
  carry_out(plan);
}

// What has come of these units goes, too: a page of a unit in pieces may be stale already.
void Pager::forget(UnitIndex first, UnitIndex count) {
  for (UnitIndex unit = first; unit < first + count; ++unit) {
    if (units_[unit] == State::present) ++unresolved_;
    units_[unit] = State::missing;
  }
  memory_.drop(range_of(first, count));
}

void Pager::let_go_on(Plan& plan) {
  held_ = false;
  for (const auto& [unit, since] : waiting_)
    if (units_[unit] == State::missing) demand_unit(unit, plan);
}

// What is pulled first after a hand-over would take TCP's first flights away from the page that the
// application, which is just starting, waits for. Nobody may come: two round trips, and on.
void Pager::let_first_access_pass(Deadline deadline) {
  MutexLock lock(mutex_);
  const auto now = Clock::now();
  if (!link_.is_cold(now)) return;
  const auto limit =
      std::min(deadline,
               now + std::min<Nanoseconds>(2 * std::min(link_.round_trip(), kPauseMax), kPauseMax));
  while (!answered_since_)
    if (changed_.wait_until(mutex_, limit) == std::cv_status::timeout) return;
}

void Pager::bring_again(std::span<const ByteRange> absent, Deadline deadline) {
  constexpr uint64_t kPagesAtOnce = 256;
  for (const ByteRange& range : absent)
    for (uint64_t done = 0; done < range.length; done += kPagesAtOnce * page_bytes()) {
      Plan plan;
      {
        MutexLock lock(mutex_);
        const uint64_t end = std::min(range.length, done + kPagesAtOnce * page_bytes());
        for (uint64_t at = range.offset + done; at < range.offset + end; at += page_bytes())
          demand_again(at, deadline, plan);
      }
      carry_out(plan);
      wait_for_dropped(deadline);
    }
}

void Pager::wait_for_dropped(Deadline deadline) {
  MutexLock lock(mutex_);
  while (!again_.empty() && !given_up_)
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout)
      throw_errno("bringing pages again that the application had dropped", ETIMEDOUT);
}

// A late duplicate must not be placed into memory that is not registered any more (ENOENT), and
// nobody must wait for a page whose answer is ignored.
void Pager::finish(Deadline deadline) {
  for (;;) {
    wait_for_dropped(deadline);
    MutexLock placing(placing_);
    {
      MutexLock lock(mutex_);
      if (!again_.empty()) continue;
      ++generation_;
    }
    memory_.let_go();
    return;
  }
}

void Pager::pull(double share, Deadline deadline, std::stop_token stop) {
  let_first_access_pass(deadline);
  {
    MutexLock lock(mutex_);
    settle_cursor_ = 0;
  }
  refill();
  const std::stop_callback on_stop(stop, [this] {
    MutexLock lock(mutex_);
    changed_.notify_all();
  });
  MutexLock lock(mutex_);
  enough_unresolved_ = static_cast<UnitIndex>((1 - share) * static_cast<double>(units_.size()));
  while (unresolved_ > enough_unresolved_ && !given_up_ && !stop.stop_requested())
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) break;
  settle_cursor_.reset();
  if (unresolved_ <= std::exchange(enough_unresolved_, 0) || given_up_) {
    lock.unlock();
    MutexLock placing(placing_);  // the last unit's pages are in place, too
    return;
  }
  throw_errno("bringing the rest of the region: " + std::to_string(unresolved_) + " of " +
                  std::to_string(units_.size()) + " units are still at the source",
              stop.stop_requested() ? ECANCELED : ETIMEDOUT);
}

bool Pager::is_resolved(UnitIndex unit) const {
  return units_[unit] == State::present || units_[unit] == State::lost;
}

// From the last, which comes last: so one wake-up does, mostly.
void Pager::await_ahead(std::span<const UnitIndex> units, Deadline deadline, std::stop_token stop) {
  const std::stop_callback on_stop(stop, [this] {
    MutexLock lock(mutex_);
    changed_.notify_all();
  });
  {
    MutexLock lock(mutex_);
    for (size_t left = units.size(); left > 0 && !ahead_failed_; --left)
      while (!is_resolved(units[left - 1]) && !ahead_failed_ && !given_up_ &&
             !stop.stop_requested()) {
        awaited_ = units[left - 1];
        if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) return;
      }
    awaited_.reset();
  }
  MutexLock placing(placing_);  // the last unit's pages are in place, too
}

// --- what others ask ---------------------------------------------------------------------------

std::vector<ByteRange> Pager::lost() const {
  MutexLock lock(mutex_);
  return lost_;
}

Statistics Pager::statistics() const {
  // A thread that has been woken already finds its unit counted.
  MutexLock placing(placing_);
  MutexLock lock(mutex_);
  Statistics result;
  result.payload_received = received_;
  result.faults = faults_;
  result.window_bytes = most_in_flight_;
  if (settings_.pulls_ahead())
    result.chunks_prefetched = (prefetched_ + geometry_.chunk_bytes - 1) / geometry_.chunk_bytes;
  uint64_t local = 0;
  for (ChunkIndex chunk = 0; chunk < geometry_.chunk_count(); ++chunk) {
    const uint64_t start = geometry_.chunk_start(chunk);
    const auto first = units_.begin() + static_cast<std::ptrdiff_t>(unit_of(start));
    const auto last = units_.begin() + static_cast<std::ptrdiff_t>(
                                           unit_of(start + geometry_.chunk_length(chunk) - 1));
    local +=
        std::all_of(first, last + 1, [](State state) { return state == State::present; }) ? 1 : 0;
  }
  result.chunks_local = local;
  return result;
}

void Pager::rethrow_failure() const {
  std::exception_ptr failure;
  {
    MutexLock lock(mutex_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

// Nothing works any more (no memory, a broken descriptor): nobody may sleep for ever.
void Pager::give_up(std::exception_ptr failure) noexcept {
  {
    MutexLock lock(mutex_);
    if (!failure_) failure_ = failure;
    given_up_ = true;
    changed_.notify_all();
    landed_.notify_all();
  }
  memory_.make_unreadable();
}

}  // namespace memsync::userfaultfd
