// Policy `trend`: follows strided accesses, in either direction, by the majority of their last
// strides.
#pragma once

#include <array>
#include <cstddef>

#include "approaches/userfaultfd/prefetch/prefetcher.h"

namespace memsync::userfaultfd {

// The latest strides vote (Boyer and Moore's majority, over the last 4, then 8, 16, 32 until one
// has it), so that a few strays in between do not hide a trend. Where the next fault lies on the
// trend, at what was given out or right behind it, everything before has been used, and the window
// doubles; a stray halves it and moves nothing, until two faults follow the trend from there;
// without a majority nothing is given out. Each of the last four streams votes for itself; a fault
// belongs to the stream that foresaw it, else to the nearest within 64 units. What is fetched in
// vain is about as much as was used.
//
// Threads: one at a time.
// Source: Al Maruf, Chowdhury: Effectively Prefetching Remote Memory with Leap (USENIX ATC'20),
// algorithms 1 and 2; streams and the doubling from proven use, instead of Leap's eight pages at
// most, are ours: a link of 25 ms needs more in flight, and hits raise no fault here.
class Trend final : public Prefetcher {
 public:
  // first_strides: how far a trend is followed when it is first seen.
  Trend(UnitIndex unit_count, UnitIndex first_strides)
      : unit_count_(unit_count), first_strides_(first_strides) {}
  void fault_at(UnitIndex unit) override;
  std::optional<UnitIndex> take() override;
  void start_over() override { streams_ = {}; }

 private:
  using Stride = int64_t;  // units
  struct Stream {
    UnitIndex position = 0;          // the latest fault on the trend
    UnitIndex last = 0;              // the latest fault, a stray too
    std::array<Stride, 32> votes{};  // a ring
    size_t vote_count = 0;           // ever
    Stride trend = 0;                // 0: none
    UnitIndex ahead = 0;             // how many strides beyond `position` it may go
    UnitIndex given = 0;             // how many it went
    uint64_t last_use = 0;           // 0: empty
  };
  static UnitIndex strides_to(const Stream& stream, UnitIndex unit);
  static Stride majority(const Stream& stream);
  static Stride majority_of_last(const Stream& stream, size_t count);
  static void vote(Stream& stream, Stride stride);
  Stream& nearest(UnitIndex unit);
  void follow(Stream& stream, UnitIndex strides);
  void turn(Stream& stream, UnitIndex unit);
  std::optional<UnitIndex> next_of(const Stream& stream) const;

  const UnitIndex unit_count_;
  const UnitIndex first_strides_;
  std::array<Stream, 4> streams_{};
  uint64_t uses_ = 0;
};

}  // namespace memsync::userfaultfd
