// Brings the region's pages from the source: at once where a thread waits, ahead where it pays.
//
//   application threads        handler threads             the service's thread
//   touch a missing page ───▶ take_faults()
//        (asleep)             start_reads(demand) ───────▶ request … answer
//                             start_reads(background)      completed(): UFFDIO_COPY
//   go on ◀──────────────────────────────────────────────  wakes the thread; asks for more
//
// With Handler::sigbus the touching thread does the handler's part in its signal handler and waits
// there. Bytes that the service lends (borrow()) are placed at once by whoever takes the fault.
#pragma once

#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <thread>
#include <vector>

#include "approaches/sync_strategy.h"
#include "approaches/userfaultfd/link_estimate.h"
#include "approaches/userfaultfd/prefetch/policies.h"
#include "approaches/userfaultfd/region_memory.h"
#include "approaches/userfaultfd/settings.h"
#include "lib/os/access_faults.h"
#include "lib/os/mapping.h"
#include "lib/os/mutex.h"
#include "lib/transport/region_service.h"

namespace memsync::userfaultfd {

// The region is asked for in units; a unit is missing, requested, present or lost. Bytes that can't
// be had are poisoned: who touches them gets SIGBUS, and rethrow_failure() names the first of them.
//
// Threads: every member from any thread, but stop(), hold(), go_on() and pull() from one.
// Lock order: placing_, then mutex_. No request is started with either held.
class Pager : public CompletionSink, private FaultRepair {
 public:
  // `memory` and `source` outlive this. After stop(), `source` is destroyed before this is, so that
  // no answer can come to nobody.
  Pager(RegionMemory& memory, const Geometry& geometry, const Settings& settings,
        RegionService& source, Guidance guidance = {});
  ~Pager() override;

  // No fault is answered any more; waiting threads get SIGBUS unless every page is present.
  void stop() noexcept;

  // Around a change of owner: faults wait unanswered from hold() until go_on().
  void hold();
  // As before, by the same owner.
  void go_on();
  // By a new owner: units that hold a byte of `stale` (ascending), and what is still on its way,
  // are forgotten and asked for again when they are touched. Throws, and changes nothing, when
  // bytes have been lost.
  void go_on_without(std::span<const ByteRange> stale);

  // Brings pages that had come and were dropped by the application since.
  void bring_again(std::span<const ByteRange> absent, Deadline deadline);
  // Every page is here: lets the memory go, and whatever answer is still on its way is ignored.
  // Throws ETIMEDOUT while somebody still waits for a page.
  void finish(Deadline deadline);

  // Returns once `share` (0 to 1) of the units is present or lost; of 1, each is. Throws ETIMEDOUT,
  // or ECANCELED when stopped; it may be called again.
  void pull(double share, Deadline deadline, std::stop_token stop);

  // Returns once all `units`, which the policy gives out, are here; earlier when some of what was
  // pulled ahead can't be had (a touch of it says why), at the deadline, or when stopped.
  void await_ahead(std::span<const UnitIndex> units, Deadline deadline, std::stop_token stop);

  std::vector<ByteRange> lost() const;  // in the order of their loss
  Statistics statistics() const;
  void rethrow_failure() const;

  void completed(std::span<Completion> done) noexcept override;

 private:
  enum class State : uint8_t { missing, background, demand, present, lost };
  enum class Kind : uint8_t {
    units,  // whole units
    piece,  // part of a unit: it is present when the last of them has landed
    again,  // a page that the application had dropped
  };
  struct Request {
    Mapping staging;
    ByteRange range;
    Kind kind = Kind::units;
    Urgency urgency = Urgency::demand;
    uint64_t generation = 0;
    uint64_t queued_behind = 0;  // background bytes asked for before this
    Clock::time_point asked{};
  };
  struct Reads {
    std::vector<ReadRequest> requests;
    Deadline deadline{};
  };
  // What is decided under the lock and done without it.
  struct Plan {
    std::vector<Reads> demands;
    std::vector<ByteRange> poison;
    std::vector<ByteRange>
        look_again;               // units that came in pieces: a page of them may be gone again
    std::vector<uint64_t> stale;  // offsets of faults in units that are not missing
  };

  void handle_faults(std::stop_token stop);
  void answer_faults(const std::stop_token& stop);
  void forgo_faults(const std::stop_token& stop) noexcept;
  void wait_for_faults() const;
  void answer(std::span<const uint64_t> offsets);
  bool place_at_hand(uint64_t offset);
  void place_borrowed(ByteRange range) const;
  bool repair(std::byte* address) noexcept override;
  bool fetch_here(uint64_t offset);
  bool is_lost(uint64_t offset) const REQUIRES(mutex_);
  void note_fault(uint64_t offset, Clock::time_point now, Plan& plan) REQUIRES(mutex_);
  bool is_far_back(UnitIndex unit) const REQUIRES(mutex_);
  bool is_resolved(UnitIndex unit) const REQUIRES(mutex_);
  void demand(ByteRange range, Kind kind, Deadline deadline, Plan& plan) REQUIRES(mutex_);
  void demand_again(uint64_t offset, Deadline deadline, Plan& plan) REQUIRES(mutex_);
  void wait_for_dropped(Deadline deadline);
  void demand_unit(UnitIndex unit, Plan& plan) REQUIRES(mutex_);
  void demand_piece(ByteRange range, Deadline deadline, Plan& plan) REQUIRES(mutex_);
  void demand_page_first(uint64_t offset, Clock::time_point now, Plan& plan) REQUIRES(mutex_);
  void demand_pages_of(ByteRange range, Plan& plan) REQUIRES(mutex_);
  void carry_out(Plan& plan);
  void look_again(uint64_t offset);
  void forget(UnitIndex first, UnitIndex count) REQUIRES(mutex_);
  void let_go_on(Plan& plan) REQUIRES(mutex_);
  void let_first_access_pass(Deadline deadline);

  void land(uint64_t tag, Plan& plan);
  void note_landed(const Request& request, Plan& plan) REQUIRES(mutex_);
  void note_failed(const Request& request, std::error_code error, Plan& plan) REQUIRES(mutex_);
  void unit_failed(UnitIndex unit, const Request& request, std::error_code error, Plan& plan)
      REQUIRES(mutex_);
  void lose(ByteRange range, std::error_code error, Plan& plan) REQUIRES(mutex_);
  void put_back(UnitIndex unit) REQUIRES(mutex_);
  void again_answered(uint64_t offset) REQUIRES(mutex_);
  void piece_done(UnitIndex unit, Plan& plan) REQUIRES(mutex_);
  void resolve(UnitIndex unit, State state) REQUIRES(mutex_);

  void refill();
  std::vector<ReadRequest> plan_background() REQUIRES(mutex_);
  std::optional<UnitIndex> next_background_unit() REQUIRES(mutex_);
  uint64_t window_limit() const REQUIRES(mutex_);

  ReadRequest new_request(ByteRange range, Kind kind, Urgency urgency) REQUIRES(mutex_);
  void note_answered(const Request& request) REQUIRES(mutex_);
  void free_request(uint64_t tag) REQUIRES(mutex_);
  void give_up(std::exception_ptr failure) noexcept;

  UnitIndex unit_of(uint64_t offset) const { return offset / settings_.unit_bytes; }
  ByteRange range_of(UnitIndex first, UnitIndex count) const;

  RegionMemory& memory_;
  const Geometry geometry_;
  const Settings settings_;
  RegionService& source_;
  const uint64_t background_bytes_;  // one read-ahead request
  const bool at_hand_;               // the service lends its bytes
  const FileDescriptor wake_up_ = FileDescriptor::event();

  // Held while pages are placed, poisoned or dropped: no answer of before a drop lands after it.
  mutable Mutex placing_;
  mutable Mutex mutex_;
  Condition changed_;
  Condition landed_;  // for threads that wait in repair(): something came, or nothing will
  std::vector<State> units_ GUARDED_BY(mutex_);
  UnitIndex unresolved_ GUARDED_BY(mutex_);             // units that are neither present nor lost
  UnitIndex enough_unresolved_ GUARDED_BY(mutex_) = 0;  // pull() waits for no fewer
  std::map<UnitIndex, Clock::time_point> waiting_ GUARDED_BY(mutex_);  // first fault of each
  std::map<UnitIndex, uint64_t> pieces_ GUARDED_BY(mutex_);            // still out, per unit
  std::set<uint64_t> again_ GUARDED_BY(mutex_);         // offsets of dropped pages that are out
  std::deque<Request> requests_ GUARDED_BY(mutex_);     // indexed by tag
  std::vector<uint64_t> free_tags_ GUARDED_BY(mutex_);  // the hottest staging memory last
  uint64_t generation_ GUARDED_BY(mutex_) = 0;
  bool held_ GUARDED_BY(mutex_) = false;
  bool answered_since_ GUARDED_BY(mutex_) = true;  // something has landed in this generation
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool given_up_ GUARDED_BY(mutex_) = false;  // the memory has been made unreadable

  const std::unique_ptr<Prefetcher> prefetcher_;  // called with mutex_ held
  LinkEstimate link_ GUARDED_BY(mutex_);
  std::optional<UnitIndex> pending_ GUARDED_BY(mutex_);  // taken, but not asked for yet
  std::optional<UnitIndex> settle_cursor_ GUARDED_BY(mutex_);
  std::optional<UnitIndex> awaited_ GUARDED_BY(mutex_);
  bool ahead_failed_ GUARDED_BY(mutex_) = false;  // something pulled ahead could not be had
  bool refilling_ GUARDED_BY(mutex_) = false;
  bool refill_again_ GUARDED_BY(mutex_) = false;

  uint64_t background_asked_ GUARDED_BY(mutex_) = 0;     // bytes, ever
  uint64_t background_answered_ GUARDED_BY(mutex_) = 0;  // bytes, ever
  uint64_t in_flight_ GUARDED_BY(mutex_) = 0;            // bytes, demand too
  uint64_t most_in_flight_ GUARDED_BY(mutex_) = 0;
  uint64_t faults_ GUARDED_BY(mutex_) = 0;
  uint64_t received_ GUARDED_BY(mutex_) = 0;
  uint64_t prefetched_ GUARDED_BY(mutex_) = 0;  // bytes
  std::vector<ByteRange> lost_ GUARDED_BY(mutex_);
  std::exception_ptr failure_ GUARDED_BY(mutex_);

  std::optional<RepairedRange> repaired_;  // Handler::sigbus
  std::vector<std::jthread> handlers_;     // last member: joined before anything they use goes
};

}  // namespace memsync::userfaultfd
