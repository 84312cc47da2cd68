#include "approaches/baselines/floor.h"
#include "approaches/baselines/tcp_copy.h"
#include "approaches/registry.h"

namespace memsync {

void register_baselines(std::vector<const SyncStrategy*>& strategies);

namespace {

// A baseline has no options, needs nothing of the machine and is told apart by its sides.
template <typename Source, typename Destination>
class Baseline : public SyncStrategy {
 public:
  explicit Baseline(const StrategyInfo& info) : info_(info) {}
  const StrategyInfo& info() const noexcept override { return info_; }
  std::vector<std::string> unmet_requirements(const Options&) const override { return {}; }
  std::unique_ptr<Side> open_source(SideSetup setup) const override {
    return std::make_unique<Source>(std::move(setup));
  }
  std::unique_ptr<Side> open_destination(SideSetup setup) const override {
    return std::make_unique<Destination>(std::move(setup));
  }

 private:
  const StrategyInfo info_;
};

constexpr StrategyInfo kTcpCopy{
    .name = "tcp_copy",
    .summary = "sends the whole region over one stream before anybody may read it",
    .reference = "the plain socket copy that each approach has to beat",
    .can = {.source_before = Access::read_write,
            .destination_before = Access::read,
            .writes_reach_peer = true},
    .attachment = "memory",
    .transport = "stream",
    .payload_is_exact = true};

constexpr StrategyInfo kFloor{
    .name = "floor",
    .summary = "both sides map one memory file: no traffic, the harness's own floor",
    .reference = "what measuring itself costs",
    .can = {.source_before = Access::read_write,
            .destination_before = Access::read,
            .destination_after = Access::read_write,
            .writes_reach_peer = true,
            .readable_before_complete = true,
            .destinations_max = 64,
            .shares_memory = true},
    .attachment = "memory",
    .payload_is_exact = true};  // none at all

}  // namespace

void register_baselines(std::vector<const SyncStrategy*>& strategies) {
  static const Baseline<tcp_copy::SourceSide, tcp_copy::DestinationSide> kCopy(kTcpCopy);
  static const Baseline<floor::SourceSide, floor::DestinationSide> kShared(kFloor);
  strategies.push_back(&kCopy);
  strategies.push_back(&kShared);
}

}  // namespace memsync
