// The half of Pager that takes faults: on threads of its own, or in the thread that touched the
// page.
#include <array>
#include <poll.h>
#include <sched.h>

#include "approaches/userfaultfd/pager.h"
#include "lib/os/error.h"

namespace memsync::userfaultfd {

namespace {

void run_on(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  check(::sched_setaffinity(0, sizeof(set), &set),
        "running a fault handler on CPU " + std::to_string(cpu));
}

}  // namespace

void Pager::handle_faults(std::stop_token stop) {
  try {
    answer_faults(stop);
  } catch (...) {
    give_up(std::current_exception());
    forgo_faults(stop);
  }
}

void Pager::answer_faults(const std::stop_token& stop) {
  if (settings_.handler_cpu) run_on(*settings_.handler_cpu);
  std::array<uint64_t, 32> offsets;
  refill();  // a policy may know what to pull before the first fault
  while (!stop.stop_requested()) {
    if (settings_.handler != Handler::spin) wait_for_faults();
    // Until none is left: under load the next faults are there before poll(2) would say so.
    while (const size_t count = memory_.take_faults(offsets)) {
      answer(std::span(offsets).first(count));
      if (stop.stop_requested()) return;
    }
  }
}

// Every page is there or unreadable by now, but the kernel lets who writes to a protected page or
// moves the region go on only when its report has been taken.
void Pager::forgo_faults(const std::stop_token& stop) noexcept {
  std::array<uint64_t, 32> offsets;
  while (!stop.stop_requested()) try {
      wait_for_faults();
      while (memory_.take_faults(offsets) != 0) {
      }
    } catch (const std::system_error& problem) {
      if (problem.code().value() != EFAULT) return;  // not another move: nothing more comes
    }
}

void Pager::wait_for_faults() const {
  std::array<pollfd, 2> waits{
      {{memory_.descriptor().get(), POLLIN, 0}, {wake_up_.get(), POLLIN, 0}}};
  if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
    throw_errno("waiting for page faults");
}

void Pager::answer(std::span<const uint64_t> offsets) {
  Plan plan;
  const auto now = Clock::now();
  for (const uint64_t offset : offsets) {
    if (at_hand_ && place_at_hand(offset)) continue;
    MutexLock lock(mutex_);
    note_fault(offset, now, plan);
  }
  carry_out(plan);
  refill();
}

// Whether the unit's bytes were lent, and have been placed.
bool Pager::place_at_hand(uint64_t offset) {
  const UnitIndex unit = unit_of(offset);
  const ByteRange range = range_of(unit, 1);
  MutexLock placing(placing_);
  {
    MutexLock lock(mutex_);
    if (units_[unit] != State::missing || held_ || stopped_ || given_up_) return false;
    ++faults_;
    received_ += range.length;
    prefetcher_->fault_at(unit);
    resolve(unit, State::present);
  }
  place_borrowed(range);
  return true;
}

// What is lent ends with the region; the rest of its last page is zeros.
void Pager::place_borrowed(ByteRange range) const {
  const auto bytes = source_.borrow(range);
  const uint64_t whole = bytes.size() / page_bytes() * page_bytes();
  if (whole != 0) memory_.place(range.offset, bytes.first(whole));
  if (whole == bytes.size()) return;
  std::vector<std::byte> tail(page_bytes());
  std::ranges::copy(bytes.subspan(whole), tail.begin());
  memory_.place(range.offset + whole, tail);
}

bool Pager::repair(std::byte* address) noexcept {
  try {
    const auto at = static_cast<uint64_t>(address - memory_.memory().data());
    return fetch_here(at / page_bytes() * page_bytes());
  } catch (...) {
    give_up(std::current_exception());
    return false;
  }
}

// In the thread that touched the page: true once it should try again, false when the page never
// will be there.
bool Pager::fetch_here(uint64_t offset) {
  {
    MutexLock lock(mutex_);
    if (is_lost(offset) || stopped_ || given_up_) return false;
  }
  if (at_hand_ && place_at_hand(offset)) return true;
  answer({&offset, 1});
  MutexLock lock(mutex_);
  for (;;) {
    if (is_lost(offset) || stopped_ || given_up_) return false;
    if (memory_.is_populated(offset)) return true;
    // Nothing is on its way (it came and was dropped again meanwhile): the next touch asks anew.
    if (!waiting_.contains(unit_of(offset)) && !again_.contains(offset)) return true;
    landed_.wait(mutex_);
  }
}

bool Pager::is_lost(uint64_t offset) const {
  return std::ranges::any_of(lost_, [offset](const ByteRange& range) {
    return range.offset <= offset && offset < range.offset + range.length;
  });
}

}  // namespace memsync::userfaultfd
