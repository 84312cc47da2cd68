// Demands of a suite: what is read of them, and what is refused with its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>

#include "harness/suite.h"
#include "harness/suite_fakes.h"
#include "harness/suite_formula.h"

namespace memsync {
namespace {

std::string suite_with(const std::string& demands) {
  return "schema: 1\n"
         "suite: s\n"
         "workloads: [{name: scan, does: read, region: 1MiB}]\n"
         "links: [{name: near}, {name: far, rtt: 25ms}]\n"
         "approaches: [{use: userfaultfd}, {use: tcp_copy, as: copy}, {use: peer:other}]\n"
         "demands:\n" +
         demands;
}

std::string refusal(const std::string& demands) {
  try {
    parse_suite(suite_with(demands), "s.yaml", described_strategies());
  } catch (const SuiteError& problem) {
    return problem.what();
  }
  return "accepted";
}

std::string demand_with(const std::string& more) {
  return "  - {id: P3, what: a test, ours: {series: userfaultfd, workload: scan, link: far, "
         "column: "
         "throughput_Bps}, " +
         more + "}\n";
}

TEST(Demands, CompareWithWhatIsWrittenAndOtherwiseTheSame) {
  const Suite suite = parse_suite(
      suite_with(
          demand_with("against: {series: copy}, required: '>= 0.6'") +
          "  - {id: P1, what: faults, ours: {series: other, workload: scan, link: near, column: "
          "latency_p50_s}, limit: 1.5 * rtt_p50_meas_s + 3ms, required: <1, pairs: 12}\n"),
      "s.yaml", described_strategies());
  ASSERT_EQ(suite.demands.size(), 2u);
  const Demand& share = suite.demands[0];
  EXPECT_EQ(share.id, "P3");
  ASSERT_TRUE(share.against.has_value());
  EXPECT_EQ(share.against->series, "copy");
  EXPECT_EQ(share.against->workload, "scan");
  EXPECT_EQ(share.against->link, "far");
  EXPECT_EQ(share.against->column, "throughput_Bps");
  EXPECT_EQ(share.comparison, ">=");
  EXPECT_EQ(share.bound, 0.6);
  EXPECT_EQ(share.pairs, 7u);
  const Demand& limited = suite.demands[1];
  EXPECT_FALSE(limited.against.has_value());
  EXPECT_EQ(limited.limit, "1.5*rtt_p50_meas_s+0.003");
  EXPECT_EQ(limited.comparison, "<");
  EXPECT_EQ(limited.bound, 1);
  EXPECT_EQ(limited.pairs, 12u);
}

TEST(Demands, AreRefusedWithTheirPlaceAndTheClosestName) {
  const struct {
    std::string keys;
    const char* sentence;
  } cases[] = {
      {"against: {series: cpoy}, required: '>= 1'",
       "`series`: the suite has no series 'cpoy' (did you mean 'copy'?)"},
      {"against: {link: fra}, required: '>= 1'",
       "the suite has no link 'fra' (did you mean 'far'?)"},
      {"against: {column: throughput_Bsp}, required: '>= 1'",
       "`column`: runs.csv has no column 'throughput_Bsp' of numbers (did you mean "
       "'throughput_Bps'?)"},
      {"against: {column: status}, required: '>= 1'", "no column 'status' of numbers"},
      {"against: {column: full_s}, required: '>= 1'",
       "full_s and throughput_Bps have different units"},
      {"against: {link: far}, required: '>= 1'", "that is `ours` itself"},
      {"against: {}, required: '>= 1'", "that is `ours` itself"},
      {"against: {series: copy}, limit: 1MB/s, required: '>= 1'",
       "`limit`: either `against` or `limit`: one of the two"},
      {"required: '>= 1'", "`against`: either `against` or `limit`: one of the two"},
      {"against: {series: copy}", "key 'required' is missing"},
      {"against: {series: copy}, required: '0.6'",
       "`required`: '0.6' is no demand: one of >= <= > < and a number"},
      {"against: {series: copy}, required: '>= '", "is no demand"},
      {"against: {series: copy}, required: '>= 1x'", "is no demand"},
      {"against: {series: copy}, required: '>= -1'", "is no demand"},
      {"against: {series: copy}, required: '== 1'", "is no demand"},
      {"against: {series: copy}, required: '>= inf'", "is no demand"},
      {"against: {series: copy}, required: '>= 1', pairs: 0", "`pairs`: 0 is too small"},
      {"limit: 5 parsecs, required: <= 1", "`limit`: 'parsecs' is too much"},
      {"limit: 5parsecs, required: <= 1", "`limit`: '5parsecs' is no duration"},
      {"limit: rtt_s * 2, required: <= 1", "`limit`: runs.csv has no column 'rtt_s' of numbers"},
      {"limt: 1, required: <= 1", "there is no key 'limt' here (did you mean 'limit'?)"},
  };
  for (const auto& each : cases)
    EXPECT_THAT(refusal(demand_with(each.keys)),
                testing::AllOf(testing::StartsWith("s.yaml:7:"), testing::HasSubstr(each.sentence)))
        << each.keys;
  const std::string one = demand_with("against: {series: copy}, required: '>= 1'");
  EXPECT_THAT(refusal(one + one),
              testing::HasSubstr("there are two demands named 'P3', the first in line 7"));
}

TEST(Formula, IsWrittenInSiUnits) {
  const struct {
    const char *text, *canonical;
  } cases[] = {
      {"50ms", "0.05"},
      {"1MiB", "1048576"},
      {"20MB/s", "2e+07"},
      {"1Gbit/s", "1.25e+08"},
      {"3%", "0.03"},
      {" 2 * ( rtt_p50_meas_s+region_B / rate_meas_Bps ) ",
       "2*(rtt_p50_meas_s+region_B/rate_meas_Bps)"},
      {"min(full_s, 3ms, -open_s)", "min(full_s,0.003,-open_s)"},
      {"3ms/full_s", "0.003/full_s"},
      {"1.5", "1.5"},
  };
  for (const auto& each : cases) EXPECT_EQ(checked_formula(each.text), each.canonical) << each.text;
}

TEST(Formula, IsRefusedWhereItIsNone) {
  for (const std::string text :
       {"",     " ",   "1 +",    "* 2",         "(1",       "1)",      "1 1",
        "1..5", ".5",  "min",    "min()",       "max(1,)",  "1.5.5ms", "full_s full_s",
        "a'b",  "1e5", "2 ** 3", "abs(full_s)", "full_s()", "1;2"})
    EXPECT_THROW(checked_formula(text), std::invalid_argument) << text;
  EXPECT_THROW(checked_formula(std::string(10'000, '(')), std::invalid_argument);
  EXPECT_THROW(checked_formula(std::string(200, '(') + "1" + std::string(190, ')')),
               std::invalid_argument);
  EXPECT_THROW(checked_formula(std::string(300, '-') + "1"), std::invalid_argument);
}

TEST(Peers, AreNamedBehindTheirPrefix) {
  const Suite suite = parse_suite(suite_with(demand_with("limit: 1, required: <= 1")), "s.yaml",
                                  described_strategies());
  EXPECT_EQ(suite.approaches[2].use, "peer:other");
  EXPECT_EQ(suite.approaches[2].as, "other");
  for (const char* use : {"peer:", "peer:a b", "peer:none", "pear:other", "peer:-x"}) {
    const std::string text =
        "{schema: 1, suite: s, workloads: [{name: w, does: read, region: 1B}], "
        "links: [{use: local}], approaches: [{use: '" +
        std::string(use) + "'}]}";
    EXPECT_THROW(parse_suite(text, "s.yaml", described_strategies()), SuiteError) << use;
  }
}

TEST(Workloads, ReadWithThreadsAndFromComputedContent) {
  const auto with = [](const std::string& keys) {
    return "{schema: 1, suite: s, workloads: [{name: w, does: read, region: 64GiB, accesses: 64, " +
           keys + "}], links: [{use: local}], approaches: [{use: userfaultfd}]}";
  };
  const Suite suite =
      parse_suite(with("threads: 8, source: computed"), "s.yaml", described_strategies());
  EXPECT_EQ(suite.workloads[0].threads, 8u);
  EXPECT_TRUE(suite.workloads[0].is_computed);
  for (const char* keys : {"threads: 0", "threads: 257", "source: disk"})
    EXPECT_THROW(parse_suite(with(keys), "s.yaml", described_strategies()), SuiteError) << keys;
  const std::string for_a_time =
      "{schema: 1, suite: s, workloads: [{name: w, does: read, region: 1MiB, for: 1s, threads: "
      "2}], "
      "links: [{use: local}], approaches: [{use: userfaultfd}]}";
  EXPECT_THROW(parse_suite(for_a_time, "s.yaml", described_strategies()), SuiteError);
}

}  // namespace
}  // namespace memsync
