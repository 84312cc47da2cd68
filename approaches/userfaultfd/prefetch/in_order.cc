#include "approaches/userfaultfd/prefetch/in_order.h"

#include <algorithm>
#include <unordered_set>

namespace memsync::userfaultfd {

void TouchRecorder::fault_at(UnitIndex unit) {
  if (is_noted_[unit]) return;
  is_noted_[unit] = true;
  touches_.push_back(unit);
}

void TouchRecorder::start_over() {
  is_noted_.assign(is_noted_.size(), false);
  touches_.clear();
}

std::vector<UnitIndex> by_priority(UnitIndex unit_count, const Priority& priority) {
  std::vector<std::pair<int64_t, UnitIndex>> wanted;
  for (UnitIndex unit = 0; unit < unit_count; ++unit)
    if (const int64_t rank = priority(unit); rank > 0) wanted.emplace_back(rank, unit);
  std::ranges::sort(wanted, [](const auto& one, const auto& other) {
    return one.first != other.first ? one.first > other.first : one.second < other.second;
  });
  std::vector<UnitIndex> order;
  order.reserve(wanted.size());
  for (const auto& [rank, unit] : wanted) order.push_back(unit);
  return order;
}

std::vector<UnitIndex> in_order_of(std::span<const ByteRange> ranges, uint64_t unit_bytes) {
  std::vector<UnitIndex> order;
  std::unordered_set<UnitIndex> listed;
  for (const ByteRange& range : ranges) {
    const UnitIndex last = (range.offset + range.length - 1) / unit_bytes;
    for (UnitIndex unit = range.offset / unit_bytes; unit <= last; ++unit)
      if (listed.insert(unit).second) order.push_back(unit);
  }
  return order;
}

}  // namespace memsync::userfaultfd
