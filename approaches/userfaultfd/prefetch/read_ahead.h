// Policy `window`: follows sequential accesses by their faults.
#pragma once

#include <array>

#include "approaches/userfaultfd/prefetch/prefetcher.h"

namespace memsync::userfaultfd {

// A page that was read ahead raises no fault, so the reader's position is known only when it has
// caught up. That is enough: a fault inside what was asked for, or right behind it, proves that
// everything before was used, and doubles how far the run may go. What is fetched in vain is
// therefore at most about as much as was used; a reader that is faster than the link faults at each
// arrival and never lets the run stop; one that is slower waits once per doubling.
//
// Runs start at the region's first unit and at any fault right behind another one. The eight latest
// are kept, so that several sequential readers do not hide each other.
// Threads: one at a time.
class ReadAhead final : public Prefetcher {
 public:
  // first_units: how far a run goes when it is first seen.
  ReadAhead(UnitIndex unit_count, UnitIndex first_units)
      : unit_count_(unit_count), first_units_(first_units) {}

  void fault_at(UnitIndex unit) override;
  // The next unit worth asking for; nullopt when no run may go further. Each is given once per run.
  std::optional<UnitIndex> take() override;

 private:
  struct Run {
    UnitIndex position = 0;  // the latest fault; the reader is not before it
    UnitIndex next = 0;      // the first unit not given out yet
    UnitIndex end = 0;       // how far it may go
    UnitIndex ahead = 0;     // its length beyond the latest fault; 0: a lone fault so far
    uint64_t last_use = 0;   // 0: empty
  };
  void extend(Run& run, UnitIndex unit);

  const UnitIndex unit_count_;
  const UnitIndex first_units_;
  std::array<Run, 8> runs_{};
  uint64_t uses_ = 0;
};

}  // namespace memsync::userfaultfd
