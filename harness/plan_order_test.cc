// In which order a plan's cells are run.
#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>

#include "harness/plan_fakes.h"

namespace memsync {
namespace {

TEST(Order, RunsEveryPlannedCellOncePerBlockWarmUpsFirst) {
  Suite suite = suite_of(std::string(kScan) + ", " + kMove);
  suite.reps = 5;
  suite.warmup = 2;
  const Plan plan = make_plan(suite, capable_machine());
  const auto runs = order(plan, 7);
  const auto planned =
      static_cast<size_t>(std::ranges::count(plan.cells, CellStatus::planned, &Cell::status));
  ASSERT_EQ(planned, 15u);
  ASSERT_EQ(runs.size(), planned * 7);
  std::map<unsigned, std::set<size_t>> blocks;
  for (size_t i = 0; i < runs.size(); ++i) {
    const memsync::Run& run = runs[i];
    EXPECT_EQ(run.order_global, i);
    EXPECT_EQ(run.block, i / planned);
    EXPECT_EQ(run.order_in_block, i % planned);
    EXPECT_EQ(run.is_warmup, run.block < 2);
    EXPECT_EQ(run.rep, run.is_warmup ? run.block : run.block - 2);
    EXPECT_EQ(plan.cells[run.cell].status, CellStatus::planned);
    blocks[run.block].insert(run.cell);
  }
  for (const auto& [block, cells] : blocks) EXPECT_EQ(cells.size(), planned) << block;
}

std::vector<size_t> cells_of(const std::vector<Run>& runs) {
  std::vector<size_t> cells;
  cells.reserve(runs.size());
  for (const Run& run : runs) cells.push_back(run.cell);
  return cells;
}

TEST(Order, IsDrawnBySeedAndDiffersFromBlockToBlock) {
  const Plan plan = make_plan(suite_of(kScan), capable_machine());
  const std::vector<size_t> cells = cells_of(order(plan, 7));
  EXPECT_EQ(cells, cells_of(order(plan, 7)));
  EXPECT_NE(cells, cells_of(order(plan, 8)));
  EXPECT_FALSE(std::equal(cells.begin(), cells.begin() + 9, cells.begin() + 9));
}

TEST(Order, PutsEachCellAtEachPlaceEquallyOften) {
  Suite suite = suite_of(kScan, "{use: local}, {use: lan}", "{use: tcp_copy}, {use: floor}");
  suite.reps = 4000;
  suite.warmup = 0;
  std::map<std::pair<size_t, unsigned>, double> counts;
  for (const memsync::Run& run : order(make_plan(suite, capable_machine()), 3))
    counts[{run.cell, run.order_in_block}] += 1;
  double chi_square = 0;
  for (const auto& [key, count] : counts) chi_square += (count - 1000) * (count - 1000) / 1000;
  ASSERT_EQ(counts.size(), 16u);
  EXPECT_LT(chi_square, 27.9) << "the 99.9 % quantile with 9 degrees of freedom";
}

}  // namespace
}  // namespace memsync
