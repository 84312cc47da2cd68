// Policy `around`: a fault brings the aligned block it lies in.
#pragma once

#include <vector>

#include "approaches/userfaultfd/prefetch/prefetcher.h"

namespace memsync::userfaultfd {

// What lies behind the fault comes first, then what lies before it; of several blocks the latest
// touched. At most a block is fetched in vain per block touched. Threads: one at a time.
// Source: the kernel's fault-around (mm/memory.c, do_fault_around).
class FaultAround final : public Prefetcher {
 public:
  FaultAround(UnitIndex unit_count, UnitIndex block_units);
  void fault_at(UnitIndex unit) override;
  std::optional<UnitIndex> take() override;
  void start_over() override;

 private:
  struct Block {
    UnitIndex begin = 0;
    UnitIndex length = 0;
    UnitIndex touched = 0;  // counted from `begin`
    UnitIndex given = 1;    // the touched one is asked for by who waits for it
  };
  const UnitIndex unit_count_;
  const UnitIndex block_units_;
  std::vector<bool> is_asked_;  // per block
  std::vector<Block> open_;     // not given out to the end yet
};

}  // namespace memsync::userfaultfd
