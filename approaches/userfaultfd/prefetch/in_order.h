// Policies `trace` and `priority`: a given order, whatever is touched; and who notes such an order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "approaches/userfaultfd/prefetch/prefetcher.h"
#include "lib/region/geometry.h"

namespace memsync::userfaultfd {

// Gives out `order`, once. Threads: one at a time.
class InOrder final : public Prefetcher {
 public:
  explicit InOrder(std::vector<UnitIndex> order) : order_(std::move(order)) {}
  void fault_at(UnitIndex) override {}
  std::optional<UnitIndex> take() override {
    return next_ < order_.size() ? std::optional(order_[next_++]) : std::nullopt;
  }
  void start_over() override { next_ = 0; }

 private:
  const std::vector<UnitIndex> order_;
  size_t next_ = 0;
};

// Pulls nothing ahead, so that each first touch is a fault, and notes them in their order.
// Source: the recording phase of REAP (Ustiugov et al., ASPLOS'21). Threads: one at a time.
class TouchRecorder final : public Prefetcher {
 public:
  // `touches` outlives this; each unit comes into it at most once.
  TouchRecorder(UnitIndex unit_count, std::vector<UnitIndex>& touches)
      : touches_(touches), is_noted_(unit_count, false) {}
  void fault_at(UnitIndex unit) override;
  std::optional<UnitIndex> take() override { return std::nullopt; }
  // What the next owner touches is another story.
  void start_over() override;

 private:
  std::vector<UnitIndex>& touches_;
  std::vector<bool> is_noted_;
};

// How much a unit is wanted: the highest first, in ascending order among equals; 0 and below: not
// ahead of its touch.
using Priority = std::function<int64_t(UnitIndex)>;

// The units that `priority` wants, in its order.
std::vector<UnitIndex> by_priority(UnitIndex unit_count, const Priority& priority);
// The units that `ranges`, which lie within the region, touch, in the order of the ranges.
std::vector<UnitIndex> in_order_of(std::span<const ByteRange> ranges, uint64_t unit_bytes);

}  // namespace memsync::userfaultfd
