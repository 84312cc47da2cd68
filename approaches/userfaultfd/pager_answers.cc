// The half of Pager that runs on the service's thread: answers, failures, read-ahead.
#include <algorithm>

#include "approaches/userfaultfd/pager.h"

namespace memsync::userfaultfd {

namespace {

// The transport keeps one bandwidth-delay product of read-ahead on the wire; what is asked for here
// only has to be more than that, while TCP's slow start still doubles it each round trip.
constexpr uint64_t kWindowGain = 4;
constexpr uint64_t kSmallestWindow = 1 << 20;

// Errors of the connection or the ownership concern the whole unit; what else comes is the
// source's trouble with some byte in it, and the other pages may be had.
bool is_about_some_bytes(std::error_code error) {
  return error.category() == std::generic_category() || error.category() == std::system_category()
             ? error != std::errc::timed_out && error != std::errc::connection_reset &&
                   error != std::errc::operation_canceled && error != std::errc::broken_pipe &&
                   error != std::errc::not_connected && error != std::errc::host_unreachable
             : false;
}

std::exception_ptr named(std::error_code error, ByteRange range) {
  return std::make_exception_ptr(
      std::system_error(error, "fetching " + std::to_string(range.length) + " bytes at offset " +
                                   std::to_string(range.offset) + " of the region"));
}

}  // namespace

void Pager::completed(std::span<Completion> done) noexcept {
  try {
    Plan plan;
    for (const Completion& completion : done) {
      if (!completion.error) {
        land(completion.tag, plan);
        continue;
      }
      MutexLock lock(mutex_);
      note_answered(requests_[completion.tag]);
      note_failed(requests_[completion.tag], completion.error, plan);
      free_request(completion.tag);
    }
    carry_out(plan);
    if (settings_.handler == Handler::sigbus)
      landed_.notify_all();  // what was lost is poisoned by now
    refill();
  } catch (...) {
    give_up(std::current_exception());
  }
}

// --- what came ---------------------------------------------------------------------------------

// The unit counts as present before its pages are: whoever looks at it with placing_ held sees both
// or neither, and a thread that is woken, drops its page and touches it again is not overlooked.
void Pager::land(uint64_t tag, Plan& plan) {
  MutexLock placing(placing_);
  Request* request = nullptr;
  {
    MutexLock lock(mutex_);
    request = &requests_[tag];  // a deque's elements stay where they are
    note_answered(*request);
    received_ += request->range.length;
    const auto now = Clock::now();
    link_.arrived(request->range.length, now - request->asked, now);
    if (request->generation != generation_ || stopped_) {
      free_request(tag);
      return;
    }
    note_landed(*request, plan);
    if (!std::exchange(answered_since_, true)) changed_.notify_all();
  }
  std::error_code error;
  try {
    const auto pages = request->staging.bytes().first(round_up_to_page(request->range.length));
    std::ranges::fill(pages.subspan(request->range.length), std::byte{0});  // the region's tail
    memory_.place(request->range.offset, pages);
  } catch (const std::system_error& problem) {
    if (problem.code() == std::errc::bad_address) throw;  // the region was moved, not this lost
    error = problem.code();
  }
  MutexLock lock(mutex_);
  if (error) lose(request->range, error, plan);
  free_request(tag);
  if (settings_.handler == Handler::sigbus) landed_.notify_all();
}

void Pager::note_landed(const Request& request, Plan& plan) {
  if (request.kind == Kind::again) {
    again_answered(request.range.offset);
    return;
  }
  if (request.kind == Kind::piece) {
    piece_done(unit_of(request.range.offset), plan);
    return;
  }
  const UnitIndex last = unit_of(request.range.offset + request.range.length - 1);
  for (UnitIndex unit = unit_of(request.range.offset); unit <= last; ++unit) {
    if (units_[unit] == State::background && !waiting_.contains(unit))
      prefetched_ += range_of(unit, 1).length;
    pieces_.erase(unit);  // a duplicate brought the whole
    resolve(unit, State::present);
  }
}

void Pager::again_answered(uint64_t offset) {
  again_.erase(offset);
  if (again_.empty()) changed_.notify_all();
}

// A page of an early piece may have been dropped and touched again while the unit was still out:
// who waits for it faults once more and is then seen.
void Pager::piece_done(UnitIndex unit, Plan& plan) {
  const auto left = pieces_.find(unit);
  if (left == pieces_.end() || --left->second != 0) return;
  pieces_.erase(left);
  const bool whole = std::none_of(lost_.begin(), lost_.end(),
                                  [&](ByteRange range) { return unit_of(range.offset) == unit; });
  resolve(unit, whole ? State::present : State::lost);
  plan.look_again.push_back(range_of(unit, 1));
}

void Pager::resolve(UnitIndex unit, State state) {
  waiting_.erase(unit);
  if (units_[unit] == State::present || units_[unit] == State::lost) return;
  units_[unit] = state;
  if (--unresolved_ <= enough_unresolved_ || unit == awaited_) changed_.notify_all();
}

// --- what did not come -------------------------------------------------------------------------

void Pager::note_failed(const Request& request, std::error_code error, Plan& plan) {
  if (request.generation != generation_ || stopped_) return;
  if (request.kind != Kind::units) {
    const UnitIndex unit = unit_of(request.range.offset);
    if (request.kind == Kind::again) again_answered(request.range.offset);
    if (held_) {
      put_back(unit);
      return;
    }
    if (is_about_some_bytes(error) && request.range.length > page_bytes())
      demand_pages_of(request.range, plan);
    else
      lose(request.range, error, plan);
    if (request.kind == Kind::piece) piece_done(unit, plan);
    return;
  }
  const UnitIndex last = unit_of(request.range.offset + request.range.length - 1);
  for (UnitIndex unit = unit_of(request.range.offset); unit <= last; ++unit)
    unit_failed(unit, request, error, plan);
}

void Pager::unit_failed(UnitIndex unit, const Request& request, std::error_code error, Plan& plan) {
  const bool was_demand = request.urgency == Urgency::demand;
  if (units_[unit] != (was_demand ? State::demand : State::background))
    return;  // a duplicate decides
  const bool waited = waiting_.contains(unit);
  if (held_ || (!was_demand && !waited && !settle_cursor_)) {
    units_[unit] = State::missing;
    ahead_failed_ = true;
    changed_.notify_all();
  } else if (!was_demand && !waited && error == std::errc::timed_out) {
    units_[unit] = State::missing;  // settling has a deadline of its own: once more
    settle_cursor_ = std::min(*settle_cursor_, unit);
  } else if (!was_demand) {
    demand_unit(unit, plan);  // its answer decides
  } else if (is_about_some_bytes(error) && request.range.length > page_bytes()) {
    demand_pages_of(request.range, plan);
  } else {
    lose(request.range, error, plan);
  }
}

// A page of it could not be had while the owner changes: go_on() asks for the unit again.
void Pager::put_back(UnitIndex unit) {
  if (units_[unit] == State::present || units_[unit] == State::lost) ++unresolved_;
  units_[unit] = State::missing;
  pieces_.erase(unit);
  waiting_.emplace(unit, Clock::now());
}

void Pager::lose(ByteRange range, std::error_code error, Plan& plan) {
  if (!failure_) failure_ = named(error, range);
  lost_.push_back(range);
  plan.poison.push_back(range);
  const UnitIndex last = unit_of(range.offset + range.length - 1);
  for (UnitIndex unit = unit_of(range.offset); unit <= last; ++unit) {
    if (pieces_.contains(unit)) continue;  // the rest of its pages are still on their way
    if (units_[unit] == State::present) units_[unit] = State::lost;
    resolve(unit, State::lost);
  }
}

// --- read-ahead --------------------------------------------------------------------------------

// A service may answer while it is being asked; the call that is under way then goes round again.
void Pager::refill() {
  std::vector<ReadRequest> requests;
  {
    MutexLock lock(mutex_);
    refill_again_ = true;
    if (refilling_) return;
    refilling_ = true;
  }
  for (;;) {
    Deadline deadline;
    {
      MutexLock lock(mutex_);
      if (!refill_again_) {
        refilling_ = false;
        return;
      }
      refill_again_ = false;
      requests = plan_background();
      deadline = after(settings_.deadline);
    }
    if (!requests.empty()) source_.start_reads(requests, Urgency::background, deadline, *this);
  }
}

uint64_t Pager::window_limit() const {
  return std::min(settings_.window_bytes,
                  std::max(kSmallestWindow, kWindowGain * link_.bandwidth_delay_bytes()));
}

std::vector<ReadRequest> Pager::plan_background() {
  std::vector<ReadRequest> requests;
  if (held_ || stopped_) return requests;
  const uint64_t limit = window_limit();
  while (background_asked_ - background_answered_ < limit) {
    const auto first = next_background_unit();
    if (!first) break;
    UnitIndex count = 1;
    units_[*first] = State::background;
    while ((count + 1) * settings_.unit_bytes <= background_bytes_) {
      const auto next = next_background_unit();
      if (next && *next != *first + count) pending_ = next;
      if (!next || *next != *first + count) break;
      units_[*next] = State::background;
      ++count;
    }
    requests.push_back(new_request(range_of(*first, count), Kind::units, Urgency::background));
  }
  return requests;
}

std::optional<UnitIndex> Pager::next_background_unit() {
  if (pending_ && units_[*pending_] == State::missing) return std::exchange(pending_, std::nullopt);
  pending_.reset();
  while (const auto unit = prefetcher_->take())
    if (units_[*unit] == State::missing) return unit;
  while (settle_cursor_ && *settle_cursor_ < units_.size())
    if (const UnitIndex unit = (*settle_cursor_)++; units_[unit] == State::missing) return unit;
  return std::nullopt;
}

// --- requests ----------------------------------------------------------------------------------

ReadRequest Pager::new_request(ByteRange range, Kind kind, Urgency urgency) {
  if (free_tags_.empty()) {
    free_tags_.push_back(requests_.size());
    requests_.emplace_back().staging = Mapping::anonymous(background_bytes_);
  }
  const uint64_t tag = free_tags_.back();
  free_tags_.pop_back();
  Request& request = requests_[tag];
  request.range = range;
  request.kind = kind;
  request.urgency = urgency;
  request.generation = generation_;
  request.queued_behind = background_asked_;
  request.asked = Clock::now();
  if (urgency == Urgency::background) background_asked_ += range.length;
  in_flight_ += range.length;
  most_in_flight_ = std::max(most_in_flight_, in_flight_);
  return {.offset = range.offset, .into = request.staging.bytes().first(range.length), .tag = tag};
}

// It is not in flight any more, whatever becomes of it.
void Pager::note_answered(const Request& request) {
  in_flight_ -= request.range.length;
  if (request.urgency == Urgency::background) background_answered_ += request.range.length;
}

void Pager::free_request(uint64_t tag) {
  requests_[tag].range = {};
  free_tags_.push_back(tag);
}

}  // namespace memsync::userfaultfd
