#include "harness/plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "approaches/peer.h"
#include "lib/region/content.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

constexpr size_t kCellsMax = 10'000;
constexpr uint64_t kRunsMax = 1'000'000;

std::string_view name_of(LinkEngine engine) noexcept {
  switch (engine) {
    case LinkEngine::tc:
      return "tc";
    case LinkEngine::tun:
      return "tun";
    case LinkEngine::none:
      return "none";
  }
  return "";
}

std::string with_next_step(const std::string& reason, const std::string& next_step) {
  return next_step.empty() ? reason : reason + "; " + next_step;
}

// The engine of all links: the one that is asked for, or the most preferred that is available and
// makes every shape. If none makes all, the one that makes most.
const EngineState* choose_engine(const Suite& suite, const Machine& machine) {
  for (const LinkSpec& link : suite.links)
    if (link.engine) {
      const auto asked = std::ranges::find(machine.engines, *link.engine, &EngineState::engine);
      return asked == machine.engines.end() ? nullptr : &*asked;
    }
  const EngineState* best = nullptr;
  int64_t best_count = -1;
  for (const EngineState& state : machine.engines) {
    if (!state.available) continue;
    const int64_t count = std::ranges::count_if(suite.links, [&](const LinkSpec& link) {
      return machine.shape_problem(state.engine, link.shape).empty();
    });
    if (count > best_count) {
      best = &state;
      best_count = count;
    }
  }
  return best;
}

// Why `link` can't be made by the chosen engine, with the next step; "" when it can.
std::string link_problem(const LinkSpec& link, const EngineState* engine, const Machine& machine) {
  if (!engine) return "no link engine runs on this machine; run `memsync doctor`";
  if (!engine->available)
    return with_next_step("link engine " + std::string(name_of(engine->engine)) +
                              " is not available: " + engine->reason,
                          engine->next_step);
  std::string problem = machine.shape_problem(engine->engine, link.shape);
  if (problem.empty()) return machine.dials_problem(link.dials);
  // A better engine that isn't available is what would help.
  for (const EngineState& other : machine.engines)
    if (!other.available && !other.reason.empty() &&
        machine.shape_problem(other.engine, link.shape).empty())
      return with_next_step(
          problem + " (" + std::string(name_of(other.engine)) + ": " + other.reason + ")",
          other.next_step);
  return problem;
}

// Of an update: who writes must be allowed to, and reach the other side.
std::string update_problem(const std::string& name, const Capabilities& can,
                           const Workload& workload) {
  const bool at_source = !workload.changes_at_destination;
  const std::string who = at_source ? "source" : "destination";
  if ((at_source ? can.source_before : can.destination_before) != Access::read_write ||
      !can.writes_reach_peer)
    return name + " does not carry the " + who + "'s writes to its peer";
  if (workload.receivers > can.destinations_max)
    return name + " serves at most " + std::to_string(can.destinations_max) + " receivers, not " +
           std::to_string(workload.receivers);
  return "";
}

std::string capability_problem(const std::string& name, const Capabilities& can,
                               const Workload& workload) {
  switch (workload.does) {
    case WorkloadKind::read:
      return workload.is_computed && can.shares_memory
                 ? name + " shares the region's memory, which computed content has not"
                 : "";
    case WorkloadKind::update:
      return update_problem(name, can, workload);
    case WorkloadKind::handover:
      if (can.destination_after == Access::none) return name + " has no hand-over";
      return can.source_before != Access::read_write
                 ? name +
                       " lets only the destination write before the hand-over, and this "
                       "workload writes at the source: two writers would overwrite each other"
                 : "";
  }
  return "";
}

std::string backend_problem(const Options& options, const Workload& workload) {
  const std::string given = "backend=" + options.backend();
  if (options.backend() != "peer" && workload.does != WorkloadKind::read)
    return given +
           " reads at the destination what the region held at first: nothing is handed over or "
           "updated; take backend=peer";
  if (options.backend() == "pattern" && workload.content.kind == ContentSpec::Kind::file)
    return given + " computes seeded content, which a file's bytes are not; take backend=local";
  return "";
}

// What a program that only reads, and measures itself, can't be asked.
std::string peer_problem(const ApproachSpec& approach, const Workload& workload,
                         const Machine& machine) {
  if (!is_peer(approach.use)) return "";
  const std::string name(peer_name(approach.use));
  if (workload.for_duration || workload.threads > 1)
    return "a peer reads a number of accesses, with one thread";
  if (workload.is_computed) return "a peer needs the region's bytes, which are only computed here";
  if (!machine.peers.contains(name))
    return "no program for it was named; name one with --peer " + name + "=EXECUTABLE";
  return "";
}

std::string placement_problem(const Placement& placement, unsigned cpu_count) {
  for (const auto& cpu : {placement.source, placement.destination, placement.link})
    if (cpu && *cpu >= cpu_count)
      return "CPU " + std::to_string(*cpu) + " to pin to is not there: this machine has " +
             std::to_string(cpu_count) + "; take a lower number, or any";
  return "";
}

std::string joined(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences) text += (text.empty() ? "" : "; ") + sentence;
  return text;
}

const Exclusion* find_exclusion(const Suite& suite, const Cell& cell) {
  const ApproachSpec& approach = suite.approaches[cell.approach];
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::ranges::find(names, name) != names.end();
  };
  const auto matches = [&](const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || has(names, name);
  };
  for (const Exclusion& exclusion : suite.exclusions)
    if ((matches(exclusion.approaches, approach.as) || has(exclusion.approaches, approach.use)) &&
        matches(exclusion.workloads, suite.workloads[cell.workload].name) &&
        matches(exclusion.links, suite.links[cell.link].name))
      return &exclusion;
  return nullptr;
}

// Decides cells of one suite on one machine. What holds for an approach alone is asked once, since
// finding out what the machine lacks may mean trying it.
class Planner {
 public:
  Planner(const Suite& suite, const Machine& machine)
      : suite_(suite), machine_(machine), engine_(choose_engine(suite, machine)) {
    for (const ApproachSpec& approach : suite.approaches) {
      const SyncStrategy* strategy = machine.strategies.find(approach.use);
      if (!strategy)
        throw SuiteError(suite.path, approach.at, "there is no approach '" + approach.use + "'");
      Options options(strategy->info().options, approach.with);
      try {
        std::string unmet = joined(machine.unmet(*strategy, options));
        approaches_.push_back({*strategy, std::move(options), std::move(unmet)});
      } catch (const std::invalid_argument& problem) {
        // A rule between options, or beyond a unit's, that only the approach knows.
        throw SuiteError(suite.path, approach.at, approach.use + ": " + problem.what());
      }
    }
  }

  LinkEngine engine() const { return engine_ ? engine_->engine : LinkEngine::none; }

  void decide(Cell& cell) const {
    const Approach& approach = approaches_[cell.approach];
    const Workload& workload = suite_.workloads[cell.workload];
    cell.memory_bytes = estimate_memory(approach.strategy, approach.options, workload);
    if (const Exclusion* exclusion = find_exclusion(suite_, cell)) {
      cell.status = CellStatus::excluded;
      cell.reason = exclusion->because;
      return;
    }
    cell.reason = why_unsupported(approach, cell);
    if (!cell.reason.empty()) {
      cell.status = CellStatus::unsupported;
      return;
    }
    const LinkSpec& link = suite_.links[cell.link];
    cell.estimated_s = estimate_seconds(approach.strategy, approach.options, workload, link.shape);
    // Who is not done before the cut is not done before the mending.
    if (link.cut && uses_link(approach.strategy, approach.options))
      cell.estimated_s = std::max(cell.estimated_s, seconds(link.cut->after + link.cut->length));
    refuse_if_too_long(cell, workload);
  }

 private:
  struct Approach {
    const SyncStrategy& strategy;
    Options options;
    std::string unmet;
  };

  // The first of what is in the way; first what no machine could change.
  std::string why_unsupported(const Approach& approach, const Cell& cell) const {
    const SyncStrategy& strategy = approach.strategy;
    std::string reason = capability_problem(std::string(strategy.info().name),
                                            strategy.capabilities(approach.options),
                                            suite_.workloads[cell.workload]);
    if (reason.empty() && suite_.workloads[cell.workload].receivers > machine_.destinations_max)
      reason = "there are at most " + std::to_string(machine_.destinations_max) +
               " hosts to be destinations; lower `receivers`";
    if (reason.empty()) reason = backend_problem(approach.options, suite_.workloads[cell.workload]);
    if (reason.empty())
      reason =
          peer_problem(suite_.approaches[cell.approach], suite_.workloads[cell.workload], machine_);
    if (reason.empty()) reason = approach.unmet;
    if (reason.empty()) reason = link_problem(suite_.links[cell.link], engine_, machine_);
    if (reason.empty())
      reason = placement_problem(suite_.placement_of(suite_.approaches[cell.approach]),
                                 machine_.cpu_count);
    if (reason.empty() && cell.memory_bytes > machine_.memory_available_bytes)
      reason = "needs " + format_bytes(static_cast<double>(cell.memory_bytes)) + " of memory, " +
               format_bytes(static_cast<double>(machine_.memory_available_bytes)) +
               " are available; lower `region`";
    return reason;
  }

  void refuse_if_too_long(const Cell& cell, const Workload& workload) const {
    const double limit = seconds(suite_.timeout);
    if (cell.estimated_s <= limit) return;
    std::string remedy = "lower `accesses` or `region`";
    if (workload.does == WorkloadKind::update)
      remedy = "lower `rounds`, `dirty` or `region` (a reader: `accesses`)";
    if (workload.does == WorkloadKind::handover)
      remedy = "lower `region` or `after` (a reader: `accesses`)";
    throw SuiteError(
        suite_.path, workload.at,
        "a repetition of " + cell.cell_id + " takes at least " +
            format_duration(Nanoseconds(std::llround(std::min(cell.estimated_s, 9e9) * 1e9))) +
            ", the timeout is " + format_duration(suite_.timeout) + ": " + remedy +
            ", or raise `timeout`");
  }

  const Suite& suite_;
  const Machine& machine_;
  const EngineState* engine_;         // within machine_; nullptr: none
  std::vector<Approach> approaches_;  // as in the suite
};

// 50 probes and an overload each way of 200 ms, as netem/calibration.h says.
double calibration_seconds(const LinkShape& shape) {
  return 0.6 + 2 * seconds(shape.rtt);
}

// Sums over the cells that will run.
void add_totals(Plan& plan, const Suite& suite) {
  double block_s = 0, calibrations_s = 0;
  std::vector<bool> is_used(suite.links.size(), false);
  for (const Cell& cell : plan.cells) {
    if (cell.status != CellStatus::planned) continue;
    block_s += cell.estimated_s;
    plan.memory_bytes = std::max(plan.memory_bytes, cell.memory_bytes);
    if (!is_used[cell.link]) calibrations_s += calibration_seconds(suite.links[cell.link].shape);
    is_used[cell.link] = true;
  }
  const double blocks = plan.reps + plan.warmup;
  plan.calibrates_each_block = calibrations_s <= 0.1 * block_s;
  plan.estimated_s = blocks * block_s + (plan.calibrates_each_block ? blocks : 1) * calibrations_s;
}

bool is_wanted(const Suite& suite, const CellFilter& filter, const Cell& cell) {
  const auto& only = suite.approaches[cell.approach].only;
  if (only.empty()) return filter.matches(suite, cell);
  return std::ranges::find(only, std::pair{cell.workload, cell.link}) != only.end();
}

void check_size(const Suite& suite, const Plan& plan) {
  if (plan.cells.empty())
    throw SuiteError(suite.path, {}, "the filter's terms have no cell in common");
  if (std::ranges::all_of(plan.cells,
                          [](const Cell& cell) { return cell.status == CellStatus::excluded; }))
    throw SuiteError(suite.path, {}, "`exclude` leaves no cell");
  if (plan.cells.size() * (uint64_t{plan.reps} + plan.warmup) > kRunsMax)
    throw SuiteError(suite.path, {},
                     "more than " + std::to_string(kRunsMax) + " repetitions in all: lower `reps`");
}

}  // namespace

std::string_view cell_status_name(CellStatus status) noexcept {
  switch (status) {
    case CellStatus::planned:
      return "planned";
    case CellStatus::unsupported:
      return "unsupported";
    case CellStatus::excluded:
      return "excluded";
  }
  return "";
}

Plan make_plan(const Suite& suite, const Machine& machine, const std::string& filter_text) {
  const CellFilter filter(suite, filter_text);
  const Planner planner(suite, machine);
  if (suite.approaches.size() * suite.workloads.size() * suite.links.size() > kCellsMax)
    throw SuiteError(suite.path, {}, "more than " + std::to_string(kCellsMax) + " cells");
  Plan plan{.engine = planner.engine(), .reps = suite.reps, .warmup = suite.warmup};
  for (size_t approach = 0; approach < suite.approaches.size(); ++approach)
    for (size_t workload = 0; workload < suite.workloads.size(); ++workload)
      for (size_t link = 0; link < suite.links.size(); ++link) {
        Cell cell{.approach = approach, .workload = workload, .link = link};
        if (!is_wanted(suite, filter, cell)) continue;
        cell.cell_id = suite.approaches[approach].as + "/" + suite.workloads[workload].name + "/" +
                       suite.links[link].name;
        planner.decide(cell);
        plan.cells.push_back(std::move(cell));
      }
  check_size(suite, plan);
  add_totals(plan, suite);
  return plan;
}

std::vector<Run> order(const Plan& plan, uint64_t seed) {
  std::vector<size_t> planned;
  for (size_t i = 0; i < plan.cells.size(); ++i)
    if (plan.cells[i].status == CellStatus::planned) planned.push_back(i);
  std::vector<Run> runs;
  for (unsigned block = 0; block < plan.warmup + plan.reps; ++block) {
    // Each block has draws of its own: that another one was added changes none of the others.
    SeededDraws draws(mix64(seed) + block);
    std::vector<size_t> cells = planned;
    for (size_t left = cells.size(); left > 1; --left)
      std::swap(cells[left - 1], cells[draws.below(left)]);
    const bool is_warmup = block < plan.warmup;
    for (unsigned i = 0; i < cells.size(); ++i)
      runs.push_back(
          {cells[i], block, i, runs.size(), is_warmup ? block : block - plan.warmup, is_warmup});
  }
  return runs;
}

std::string to_json(const Plan& plan, const Suite& suite) {
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  for (const Cell& cell : plan.cells)
    cells.push_back({{"cell_id", cell.cell_id},
                     {"approach", suite.approaches[cell.approach].use},
                     {"workload", suite.workloads[cell.workload].name},
                     {"link", suite.links[cell.link].name},
                     {"status", cell_status_name(cell.status)},
                     {"reason", cell.reason},
                     {"estimated_s", cell.estimated_s}});
  const nlohmann::ordered_json document = {
      {"cells", cells}, {"estimated_s", plan.estimated_s}, {"memory_B", plan.memory_bytes}};
  return document.dump(2) + "\n";
}

}  // namespace memsync
