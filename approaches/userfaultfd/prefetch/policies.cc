#include "approaches/userfaultfd/prefetch/policies.h"

#include <algorithm>
#include <utility>

#include "approaches/userfaultfd/prefetch/fault_around.h"
#include "approaches/userfaultfd/prefetch/in_order.h"
#include "approaches/userfaultfd/prefetch/read_ahead.h"
#include "approaches/userfaultfd/prefetch/trend.h"

namespace memsync::userfaultfd {

namespace {

// A run starts with this much: little enough to be wasted, enough to see whether it pays.
constexpr uint64_t kFirstRunBytes = 256 << 10;

// A policy, and behind it the rest of the region.
class ThenTheRest final : public Prefetcher {
 public:
  ThenTheRest(std::unique_ptr<Prefetcher> policy, UnitIndex unit_count)
      : policy_(std::move(policy)), unit_count_(unit_count) {}
  void fault_at(UnitIndex unit) override { policy_->fault_at(unit); }
  std::optional<UnitIndex> take() override {
    if (const auto unit = policy_->take()) return unit;
    return next_ < unit_count_ ? std::optional(next_++) : std::nullopt;
  }
  void start_over() override {
    policy_->start_over();
    next_ = 0;
  }

 private:
  const std::unique_ptr<Prefetcher> policy_;
  const UnitIndex unit_count_;
  UnitIndex next_ = 0;
};

std::unique_ptr<Prefetcher> make_policy(const Settings& settings, UnitIndex unit_count,
                                        std::vector<UnitIndex> order) {
  const UnitIndex first_run = std::max<uint64_t>(kFirstRunBytes / settings.unit_bytes, 2);
  switch (settings.prefetch) {
    case Prefetch::around:
      return std::make_unique<FaultAround>(
          unit_count, std::max<UnitIndex>(settings.around_bytes / settings.unit_bytes, 1));
    case Prefetch::window:
      return std::make_unique<ReadAhead>(unit_count, first_run);
    case Prefetch::trend:
      return std::make_unique<Trend>(unit_count, first_run);
    case Prefetch::none:
    case Prefetch::trace:
    case Prefetch::priority:
      break;
  }
  return std::make_unique<InOrder>(std::move(order));
}

}  // namespace

std::unique_ptr<Prefetcher> make_prefetcher(const Settings& settings, UnitIndex unit_count,
                                            Guidance guidance) {
  if (guidance.touches != nullptr)
    return std::make_unique<TouchRecorder>(unit_count, *guidance.touches);
  auto policy = make_policy(settings, unit_count, std::move(guidance.order));
  if (!settings.is_background) return policy;
  return std::make_unique<ThenTheRest>(std::move(policy), unit_count);
}

}  // namespace memsync::userfaultfd
