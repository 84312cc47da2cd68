#include "approaches/userfaultfd/prefetch/fault_around.h"

#include <algorithm>

namespace memsync::userfaultfd {

FaultAround::FaultAround(UnitIndex unit_count, UnitIndex block_units)
    : unit_count_(unit_count),
      block_units_(block_units),
      is_asked_((unit_count - 1) / block_units + 1, false) {}

void FaultAround::fault_at(UnitIndex unit) {
  const UnitIndex block = unit / block_units_;
  if (is_asked_[block]) return;
  is_asked_[block] = true;
  const UnitIndex begin = block * block_units_;
  const UnitIndex length = std::min(block_units_, unit_count_ - begin);
  if (length > 1) open_.push_back({.begin = begin, .length = length, .touched = unit - begin});
}

std::optional<UnitIndex> FaultAround::take() {
  if (open_.empty()) return std::nullopt;
  Block& block = open_.back();
  const UnitIndex unit = block.begin + (block.touched + block.given) % block.length;
  if (++block.given == block.length) open_.pop_back();
  return unit;
}

void FaultAround::start_over() {
  is_asked_.assign(is_asked_.size(), false);
  open_.clear();
}

}  // namespace memsync::userfaultfd
