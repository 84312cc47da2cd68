// Which cells become controls, and which series are whose twin.
#include "harness/controls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "harness/plan_fakes.h"

namespace memsync {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "label: role of original" of each series that has a role.
std::vector<std::string> roles_of(const Suite& suite) {
  const auto relations = relations_of(suite, described_strategies());
  std::vector<std::string> roles;
  for (size_t i = 0; i < relations.size(); ++i)
    if (relations[i].role != SeriesRole::none)
      roles.push_back(suite.approaches[i].as + ": " +
                      std::string(series_role_name(relations[i].role)) + " of " + relations[i].of);
  return roles;
}

// The ids of the cells that controls add to the plan of `suite`.
std::vector<std::string> added_cells(Suite suite, const std::string& filter = "") {
  const size_t before = suite.approaches.size();
  std::vector<std::string> added;
  for (const Cell& cell : make_plan_with_controls(suite, capable_machine(), filter).cells)
    if (cell.approach >= before) added.push_back(cell.cell_id);
  return added;
}

TEST(SeriesRelations, FollowFromApproachAndOptions) {
  const Suite suite = suite_of(
      kScan, "{use: local}",
      "{use: tcp_copy}, {use: tcp_copy, as: again}, {use: userfaultfd, with: {prefetch: none}}, "
      "{use: userfaultfd, as: other}, {use: tcp_copy, as: late, with: {planted_delay: 3ms}}");
  EXPECT_THAT(roles_of(suite), ElementsAre("again: twin of tcp_copy", "late: planted of tcp_copy"));
  EXPECT_EQ(relations_of(suite, described_strategies())[4].planted_delay,
            std::chrono::milliseconds(3));
}

TEST(SeriesRelations, LookAtValuesAndNotAtHowTheyAreWritten) {
  const Suite suite = suite_of(kScan, "{use: local}",
                               "{use: userfaultfd}, "
                               "{use: userfaultfd, as: a, with: {prefetch: window}}, "
                               "{use: userfaultfd, as: b, with: {planted_delay: 0ms}}");
  EXPECT_THAT(roles_of(suite), ElementsAre("a: twin of userfaultfd", "b: twin of userfaultfd"));
}

TEST(SeriesRelations, NameTheFirstLabelOfTheSuiteAsTheOriginal) {
  const Suite suite =
      suite_of(kScan, "{use: local}",
               "{use: tcp_copy, as: late, with: {planted_delay: 3ms}}, {use: tcp_copy, as: a}, "
               "{use: tcp_copy, as: b}, {use: tcp_copy, as: c}, "
               "{use: tcp_copy, as: as-late, with: {planted_delay: 3ms}}");
  EXPECT_THAT(roles_of(suite), ElementsAre("late: planted of a", "b: twin of a", "c: twin of a",
                                           "as-late: planted of a"));
}

TEST(Controls, AreAddedToTheCheapestCellThatTheLinkBounds) {
  const std::string large = "{name: large, does: read, region: 64MiB}";
  const Suite suite = suite_of(large + ", " + kScan + ", " + kMove, "{use: local}, {use: lan}");
  EXPECT_THAT(added_cells(suite),
              ElementsAre("userfaultfd-twin/scan/lan", "userfaultfd-twin/move/lan",
                          "userfaultfd-planted/scan/lan", "userfaultfd-planted-2/move/lan"));
}

TEST(Controls, AreAddedWhereTheDistanceDecidesRatherThanTheRate) {
  const Suite suite =
      suite_of(kScan, "{name: near, rate: 1Gbit/s, rtt: 0ms}, {name: far, rate: 1Gbit/s, rtt: 5ms}",
               "{use: tcp_copy}, {use: floor}");
  EXPECT_THAT(added_cells(suite),
              ElementsAre("tcp_copy-twin/scan/far", "tcp_copy-planted/scan/far"));
}

TEST(Controls, BringTheirFloorWhenTheSuiteHasNone) {
  const Suite suite = suite_of(kScan, "{use: local}, {use: lan}", "{use: tcp_copy}");
  EXPECT_THAT(added_cells(suite),
              ElementsAre("tcp_copy-twin/scan/lan", "tcp_copy-planted/scan/lan", "floor/scan/lan"));
}

TEST(Controls, DoWithoutALinkThatBoundsAndWithoutAHandOver) {
  const Suite suite =
      suite_of(std::string(kScan) + ", " + kMove, "{use: local}", "{use: tcp_copy}, {use: floor}");
  EXPECT_THAT(added_cells(suite),
              ElementsAre("tcp_copy-twin/scan/local", "tcp_copy-planted/scan/local"));
  EXPECT_THAT(added_cells(suite_of(kScan, "{use: lan}", "{use: floor}")), IsEmpty());
}

TEST(Controls, AreOfCellsWhoseBytesCrossTheLink) {
  const Suite suite =
      suite_of(kScan, "{use: lan}",
               "{use: userfaultfd, with: {backend: local}}, {use: tcp_copy}, {use: floor}");
  EXPECT_THAT(added_cells(suite),
              ElementsAre("tcp_copy-twin/scan/lan", "tcp_copy-planted/scan/lan"));
}

TEST(Controls, AreOfCellsThatRunAndOutsideOfTheFilter) {
  const Suite suite = suite_of(kScan, "{use: lan}, {use: wan}", "{use: tcp_copy}, {use: floor}",
                               ", exclude: [{approach: tcp_copy, link: lan, because: x}]");
  EXPECT_THAT(added_cells(suite),
              ElementsAre("tcp_copy-twin/scan/wan", "tcp_copy-planted/scan/wan"));
  EXPECT_THAT(added_cells(suite_of(kScan), "series=tcp_copy,link=wan"),
              ElementsAre("tcp_copy-twin/scan/wan", "tcp_copy-planted/scan/wan"));
}

TEST(Controls, AreTwinsAndPlantedOnesByTheRuleForAll) {
  Suite suite = suite_of(std::string(kScan) + ", " + kMove, "{use: lan}", "{use: userfaultfd}");
  make_plan_with_controls(suite, capable_machine(), "");
  EXPECT_THAT(roles_of(suite), ElementsAre("userfaultfd-twin: twin of userfaultfd",
                                           "userfaultfd-planted: planted of userfaultfd",
                                           "userfaultfd-planted-2: planted of userfaultfd"));
}

TEST(Controls, DoNotTakeALabelOfTheSuite) {
  const Suite suite = suite_of(kScan, "{use: lan}",
                               "{use: tcp_copy}, {use: tcp_copy, as: tcp_copy-twin}, {use: floor}");
  EXPECT_THAT(added_cells(suite),
              ElementsAre("tcp_copy-twin-2/scan/lan", "tcp_copy-planted/scan/lan"));
}

std::string planted_in(const std::string& workload) {
  Suite suite = suite_of(workload, "{name: l, rate: 80Mbit/s, rtt: 10ms}", "{use: userfaultfd}");
  make_plan_with_controls(suite, capable_machine(), "");
  return suite.approaches.at(2).with.at("planted_delay");
}

TEST(Controls, PlantATenthOfAReadAndFiveMillisecondsOfABlackout) {
  // 20 MB at 10 MB/s and three round trips: 2.03 s.
  EXPECT_EQ(planted_in("{name: r, does: read, region: 20MB}"), "203ms");
  EXPECT_EQ(planted_in("{name: r, does: read, region: 4KiB}"), "3ms");
  EXPECT_EQ(planted_in("{name: m, does: handover, region: 20MB, after: 100ms}"), "5ms");
}

TEST(Estimate, IncludesAPlantedDelay) {
  const auto estimate = [](const std::string& approach) {
    return make_plan(suite_of(kScan, "{use: lan}", approach), capable_machine())
        .cells.at(0)
        .estimated_s;
  };
  EXPECT_NEAR(estimate("{use: tcp_copy, with: {planted_delay: 70ms}}"),
              estimate("{use: tcp_copy}") + 0.07, 1e-9);
}

}  // namespace
}  // namespace memsync
