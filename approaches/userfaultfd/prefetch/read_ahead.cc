#include "approaches/userfaultfd/prefetch/read_ahead.h"

#include <algorithm>

namespace memsync::userfaultfd {

void ReadAhead::extend(Run& run, UnitIndex unit) {
  run.ahead = run.ahead == 0 ? first_units_ : std::min(run.ahead * 2, unit_count_);
  run.position = unit;
  run.next = std::max(run.next, unit + 1);
  run.end = std::max(run.end, std::min(unit + 1 + run.ahead, unit_count_));
  run.last_use = ++uses_;
}

void ReadAhead::fault_at(UnitIndex unit) {
  for (Run& run : runs_)
    if (run.last_use != 0 && run.position <= unit && unit <= run.next) {
      if (unit > run.position) extend(run, unit);  // else a second thread in the same unit
      return;
    }
  Run& oldest = *std::min_element(runs_.begin(), runs_.end(), [](const Run& a, const Run& b) {
    return a.last_use < b.last_use;
  });
  oldest =
      Run{.position = unit, .next = unit + 1, .end = unit + 1, .ahead = 0, .last_use = ++uses_};
  if (unit == 0) extend(oldest, unit);
}

std::optional<UnitIndex> ReadAhead::take() {
  Run* latest = nullptr;
  for (Run& run : runs_)
    if (run.next < run.end && (latest == nullptr || run.last_use > latest->last_use)) latest = &run;
  if (latest == nullptr) return std::nullopt;
  return latest->next++;
}

}  // namespace memsync::userfaultfd
