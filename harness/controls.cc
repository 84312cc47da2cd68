#include "harness/controls.h"

#include <algorithm>
#include <cmath>

#include "approaches/peer.h"

namespace memsync {

namespace {

constexpr const char* kPlantedInBlackout = "5ms";
constexpr double kPlantedShare = 0.1;  // of a read's expected duration
constexpr double kPlantedLeastMs = 2;

// What decides how a series behaves.
struct Behaviour {
  std::string use;
  Options::Values options;  // without planted_delay
  Nanoseconds planted_delay{};

  bool differs_only_by_delay(const Behaviour& other) const {
    return use == other.use && options == other.options;
  }
};

Behaviour behaviour_of(const ApproachSpec& approach, const StrategyDirectory& known) {
  const Options options(known.find(approach.use)->info().options, approach.with);
  Behaviour behaviour{approach.use, options.values(), options.duration(kPlantedDelay)};
  behaviour.options.erase(std::string(kPlantedDelay));
  return behaviour;
}

// The first series, of the first `end`, that `mine` is `delay` later than; `end` if there is none.
size_t find_original(const std::vector<Behaviour>& all, const Behaviour& mine, Nanoseconds delay,
                     size_t end) {
  for (size_t i = 0; i < end; ++i)
    if (all[i].planted_delay == delay && all[i].differs_only_by_delay(mine)) return i;
  return end;
}

bool shares_memory(const std::string& use, const StrategyDirectory& known) {
  return known.find(use)->info().can.shares_memory;
}

// What bounds a cell of this link is the link, which is the same for both series of a comparison: 0
// when it is far away, 1 when it has a rate at least, 2 when the machine's own noise decides.
int looseness(const LinkShape& shape) {
  if (shape.rtt >= std::chrono::milliseconds(1)) return 0;
  return shape.bits_per_second ? 1 : 2;
}

const Cell* cheapest_cell(const Suite& suite, const Plan& plan, const StrategyDirectory& known,
                          WorkloadKind does) {
  const auto relations = relations_of(suite, known);
  const auto costs = [&](const Cell& cell) {
    return std::pair{looseness(suite.links[cell.link].shape), cell.estimated_s};
  };
  const Cell* best = nullptr;
  for (const Cell& cell : plan.cells) {
    if (cell.status != CellStatus::planned || suite.workloads[cell.workload].does != does) continue;
    if (relations[cell.approach].role != SeriesRole::none) continue;
    const ApproachSpec& approach = suite.approaches[cell.approach];
    const SyncStrategy& strategy = *known.find(approach.use);
    const Options options(strategy.info().options, approach.with);
    if (!uses_link(strategy, options) || is_peer(approach.use)) continue;
    if (best == nullptr || costs(cell) < costs(*best)) best = &cell;
  }
  return best;
}

std::string planted_delay_for(const Cell& cell, WorkloadKind does) {
  if (does == WorkloadKind::handover) return kPlantedInBlackout;
  const double expected_ms = 1e3 * (cell.estimated_s - kRepetitionFixedSeconds);
  return std::to_string(std::llround(std::max(kPlantedShare * expected_ms, kPlantedLeastMs))) +
         "ms";
}

std::string free_label(const Suite& suite, const std::string& wanted) {
  const auto is_taken = [&](const std::string& label) {
    return std::ranges::find(suite.approaches, label, &ApproachSpec::as) != suite.approaches.end();
  };
  std::string label = wanted;
  for (int next = 2; is_taken(label); ++next) label = wanted + "-" + std::to_string(next);
  return label;
}

// One more cell for the control series that behaves like `control`, which is made when there is
// none.
void add_control(Suite& suite, ApproachSpec control, const Cell& cell) {
  const std::pair place{cell.workload, cell.link};
  for (ApproachSpec& there : suite.approaches)
    if (!there.only.empty() && there.use == control.use && there.with == control.with) {
      if (std::ranges::find(there.only, place) == there.only.end()) there.only.push_back(place);
      return;
    }
  control.as = free_label(suite, control.as);
  control.only = {place};
  suite.approaches.push_back(std::move(control));
}

}  // namespace

std::string_view series_role_name(SeriesRole role) noexcept {
  switch (role) {
    case SeriesRole::none:
      return "";
    case SeriesRole::twin:
      return "twin";
    case SeriesRole::planted:
      return "planted";
  }
  return "";
}

std::vector<SeriesRelation> relations_of(const Suite& suite, const StrategyDirectory& known) {
  std::vector<Behaviour> all;
  all.reserve(suite.approaches.size());
  for (const ApproachSpec& approach : suite.approaches)
    all.push_back(behaviour_of(approach, known));
  std::vector<SeriesRelation> relations(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const Nanoseconds delay = all[i].planted_delay;
    const size_t undelayed = find_original(all, all[i], Nanoseconds::zero(), all.size());
    const size_t same = find_original(all, all[i], delay, i);
    if (delay > Nanoseconds::zero() && undelayed < all.size())
      relations[i] = {SeriesRole::planted, suite.approaches[undelayed].as, delay};
    else if (same < i)
      relations[i] = {SeriesRole::twin, suite.approaches[same].as, {}};
  }
  return relations;
}

void add_controls(Suite& suite, const Plan& plan, const StrategyDirectory& known) {
  const bool has_floor = std::ranges::any_of(suite.approaches, [&](const ApproachSpec& approach) {
    return shares_memory(approach.use, known);
  });
  const auto floor = std::ranges::find_if(
      known.names, [&](const std::string& name) { return shares_memory(name, known); });
  std::vector<std::pair<const Cell*, WorkloadKind>> chosen;
  for (const WorkloadKind does : {WorkloadKind::read, WorkloadKind::handover})
    if (const Cell* cell = cheapest_cell(suite, plan, known, does)) chosen.emplace_back(cell, does);
  for (const auto& [cell, does] : chosen) {
    const ApproachSpec original = suite.approaches[cell->approach];  // a copy: the list grows
    ApproachSpec twin = original;
    twin.as += "-twin";
    add_control(suite, std::move(twin), *cell);
    ApproachSpec planted = original;
    planted.as += "-planted";
    planted.with.insert_or_assign(std::string(kPlantedDelay), planted_delay_for(*cell, does));
    add_control(suite, std::move(planted), *cell);
    if (!has_floor && floor != known.names.end())
      add_control(suite, {.use = *floor, .as = *floor}, *cell);
  }
}

Plan make_plan_with_controls(Suite& suite, const Machine& machine, const std::string& filter) {
  add_controls(suite, make_plan(suite, machine, filter), machine.strategies);
  return make_plan(suite, machine, filter);
}

}  // namespace memsync
