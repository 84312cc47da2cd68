// What a campaign will run on this machine: each cell of a suite with its verdict, and the order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "harness/suite.h"
#include "netem/link.h"

namespace memsync {

// What a plan must know of the machine; tests say what they like.
struct Machine {
  std::vector<EngineState> engines{};  // in order of preference: probe_engines()
  uint64_t memory_available_bytes = 0;
  unsigned cpu_count = 1;
  uint64_t destinations_max = kDestinationsMax;  // hosts that can be destinations
  StrategyDirectory strategies{};
  // Why an engine can't make a shape, "" when it can: shape_problem().
  std::function<std::string(LinkEngine, const LinkShape&)> shape_problem{};
  // Why it can't keep the source from dialling, "" when it can: dials_problem().
  std::function<std::string(Dials)> dials_problem{};
  // What this machine lacks for an approach: SyncStrategy::unmet_requirements().
  std::function<std::vector<std::string>(const SyncStrategy&, const Options&)> unmet{};
  std::map<std::string, std::string> peers{};  // name -> program: what `peer:NAME` may name
};

enum class CellStatus : uint8_t { planned, unsupported, excluded };
std::string_view cell_status_name(CellStatus status) noexcept;

// One combination of a suite's lists; the indices are into them.
struct Cell {
  std::string cell_id{};  // "uffd-demand/scan/lan": series/workload/link
  size_t approach = 0;
  size_t workload = 0;
  size_t link = 0;
  CellStatus status = CellStatus::planned;
  std::string reason{};       // why not planned, with the next step
  double estimated_s = 0;     // of one repetition; 0 unless planned
  uint64_t memory_bytes = 0;  // of one repetition, both hosts
};

struct Plan {
  LinkEngine engine = LinkEngine::none;  // of all links
  std::vector<Cell> cells{};             // approach by approach, workload by workload, link by link
  unsigned reps = 0, warmup = 0;         // per planned cell
  // Each block calibrates each of its links anew. False where that would take more than a tenth of
  // the block's own time: then once per campaign.
  bool calibrates_each_block = true;
  double estimated_s = 0;     // the campaign's, calibrations included
  uint64_t memory_bytes = 0;  // of the largest planned cell; cells run one after the other
};

// Which cells to plan, from an expression like "series=uffd-*,link=lan": terms joined by commas,
// all of which must match; a term is KEY=PATTERN with the keys series, approach (the `use` name),
// workload and link, where * stands for any characters. "" is every cell.
class CellFilter {
 public:
  // Throws SuiteError for a key that isn't one, or a pattern that matches nothing in `suite`.
  CellFilter(const Suite& suite, const std::string& expression);
  bool matches(const Suite& suite, const Cell& cell) const;

 private:
  struct Term {
    std::string key, pattern;
  };
  std::vector<Term> terms_;
};

// Cells that the filter leaves out are not in the plan, nor are those beyond a control's own
// (ApproachSpec::only), which no filter leaves out. Throws SuiteError when an estimate exceeds
// the suite's timeout (lower `accesses`), or when nothing is left to plan, or too much.
Plan make_plan(const Suite& suite, const Machine& machine, const std::string& filter = "");

// Whether the region's bytes cross the link: not where both sides share one memory, nor where the
// destination reads them from its own host.
bool uses_link(const SyncStrategy& strategy, const Options& options);

// What an estimate allows for processes, namespaces and checks; the rest is the measured work.
inline constexpr double kRepetitionFixedSeconds = 0.4;
// A lower bound of a repetition's time from the physics of its link, for the timeout and the time
// left; how it is made is said in plan_estimate.cc.
double estimate_seconds(const SyncStrategy& strategy, const Options& options,
                        const Workload& workload, const LinkShape& link);
// Both hosts' regions and, where a writer changes them, the copy they are checked against; one more
// where the destination reads from a copy in memory.
uint64_t estimate_memory(const SyncStrategy& strategy, const Options& options,
                         const Workload& workload);

// One repetition of one cell.
struct Run {
  size_t cell = 0;     // index into Plan::cells
  unsigned block = 0;  // one block runs every planned cell once; warm-ups come first
  unsigned order_in_block = 0;
  uint64_t order_global = 0;
  unsigned rep = 0;  // counts warm-ups and repetitions apart, each from 0
  bool is_warmup = false;
};

// Randomised complete blocks, the same for the same plan and seed.
std::vector<Run> order(const Plan& plan, uint64_t seed);

// `memsync plan --json`, as the contract spells it.
std::string to_json(const Plan& plan, const Suite& suite);

}  // namespace memsync
