// What is planned on which machine, in which order, and what is said of the rest.
#include "harness/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/plan_fakes.h"

namespace memsync {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string refusal(const Suite& suite, const Machine& machine, const std::string& filter = "") {
  try {
    make_plan(suite, machine, filter);
  } catch (const SuiteError& problem) {
    return problem.what();
  }
  return "accepted";
}

TEST(Plan, HasACellForEachCombinationInTheSuitesOrder) {
  const Plan plan = make_plan(suite_of(std::string(kScan) + ", " + kMove), capable_machine());
  ASSERT_EQ(plan.cells.size(), 18u);
  EXPECT_EQ(plan.cells[0].cell_id, "userfaultfd/scan/local");
  EXPECT_EQ(plan.cells[4].cell_id, "userfaultfd/move/lan");
  EXPECT_EQ(plan.cells[17].cell_id, "floor/move/wan");
  EXPECT_EQ(plan.engine, LinkEngine::tun);
}

TEST(Plan, SaysWhatAnApproachCannotDo) {
  const Plan plan = make_plan(
      suite_of(std::string(kMove) + ", {name: push, does: update, region: 1MiB, receivers: 5}",
               "{use: local}", "{use: tcp_copy}, {use: mmap_push}, {use: floor}"),
      capable_machine());
  EXPECT_EQ(cell_of(plan, "tcp_copy/move/local").reason, "tcp_copy has no hand-over");
  EXPECT_EQ(cell_of(plan, "tcp_copy/move/local").status, CellStatus::unsupported);
  EXPECT_EQ(cell_of(plan, "tcp_copy/push/local").reason,
            "tcp_copy does not carry the source's writes to its peer");
  EXPECT_EQ(cell_of(plan, "mmap_push/push/local").reason,
            "mmap_push serves at most 4 receivers, not 5");
  EXPECT_EQ(cell_of(plan, "floor/push/local").status, CellStatus::planned);
}

// Requirement U18: two writers are refused, whichever of them the options let write.
TEST(Plan, RefusesAWriterWhoseWritesGoNowhereAndASecondOne) {
  const Plan plan =
      make_plan(suite_of(std::string(kMove) + ", {name: there, does: update, region: 1MiB}" +
                             ", {name: here, does: update, region: 1MiB, changes: destination}",
                         "{use: local}",
                         "{use: userfaultfd}, {use: userfaultfd, as: back, with: {writes: back}}, "
                         "{use: mmap_push}"),
                capable_machine());
  EXPECT_EQ(cell_of(plan, "userfaultfd/move/local").status, CellStatus::planned);
  EXPECT_EQ(cell_of(plan, "userfaultfd/there/local").reason,
            "userfaultfd does not carry the source's writes to its peer");
  EXPECT_EQ(cell_of(plan, "userfaultfd/here/local").reason,
            "userfaultfd does not carry the destination's writes to its peer");
  EXPECT_THAT(cell_of(plan, "back/move/local").reason, HasSubstr("two writers"));
  EXPECT_EQ(cell_of(plan, "back/there/local").reason,
            "userfaultfd does not carry the source's writes to its peer");
  EXPECT_EQ(cell_of(plan, "back/here/local").status, CellStatus::planned);
  EXPECT_EQ(cell_of(plan, "mmap_push/there/local").status, CellStatus::planned);
  EXPECT_EQ(cell_of(plan, "mmap_push/here/local").reason,
            "mmap_push does not carry the destination's writes to its peer");
}

TEST(Plan, SaysWhatABackendOfTheDestinationsOwnCannotDo) {
  const Suite suite = suite_of(std::string(kScan) + ", " + kMove, "{use: wan}",
                               "{use: userfaultfd, as: local, with: {backend: local}}, "
                               "{use: userfaultfd, as: computed, with: {backend: pattern}}");
  const Plan plan = make_plan(suite, capable_machine());
  EXPECT_EQ(cell_of(plan, "local/scan/wan").status, CellStatus::planned);
  EXPECT_THAT(cell_of(plan, "local/move/wan").reason, StartsWith("backend=local reads at"));
  EXPECT_THAT(cell_of(plan, "computed/move/wan").reason, HasSubstr("take backend=peer"));
  Suite of_a_file = suite;
  for (Workload& workload : of_a_file.workloads) workload.content.kind = ContentSpec::Kind::file;
  const Plan file = make_plan(of_a_file, capable_machine());
  EXPECT_EQ(cell_of(file, "local/scan/wan").status, CellStatus::planned);
  EXPECT_THAT(cell_of(file, "computed/scan/wan").reason, HasSubstr("take backend=local"));
}

TEST(Plan, ChargesABackendOfTheDestinationsOwnNoLinkButItsMemory) {
  const Plan plan = make_plan(
      suite_of(kScan, "{use: wan}",
               "{use: userfaultfd, as: peer, with: {prefetch: none, unit: 4KiB}}, "
               "{use: userfaultfd, as: local, with: {prefetch: none, unit: 4KiB, backend: local}}, "
               "{use: userfaultfd, as: computed, with: {backend: pattern}}"),
      capable_machine());
  const Cell& peer = cell_of(plan, "peer/scan/wan");
  const Cell& local = cell_of(plan, "local/scan/wan");
  EXPECT_GT(peer.estimated_s, 256 * 0.05) << "256 pages, one round trip each";
  EXPECT_LT(local.estimated_s, 0.5);
  EXPECT_EQ(local.memory_bytes, peer.memory_bytes + (1 << 20));
  EXPECT_EQ(cell_of(plan, "computed/scan/wan").memory_bytes, peer.memory_bytes);
}

TEST(Plan, SaysWhatTheMachineLacks) {
  Machine machine = capable_machine();
  machine.unmet = [](const SyncStrategy& strategy, const Options&) -> std::vector<std::string> {
    if (strategy.info().name != "userfaultfd") return {};
    return {"userfaultfd is not permitted; run as root", "no /dev/userfaultfd"};
  };
  machine.memory_available_bytes = 1 << 20;
  const Plan plan = make_plan(suite_of(kScan, "{use: local}"), machine);
  EXPECT_EQ(cell_of(plan, "userfaultfd/scan/local").reason,
            "userfaultfd is not permitted; run as root; no /dev/userfaultfd");
  EXPECT_EQ(cell_of(plan, "tcp_copy/scan/local").reason,
            "needs 69 MB of memory, 1.0 MB are available; lower `region`");
  EXPECT_EQ(plan.estimated_s, 0);
  const Plan back =
      make_plan(suite_of("{name: here, does: update, region: 1MiB, changes: destination}",
                         "{use: local}", "{use: userfaultfd, with: {writes: back}}"),
                machine);
  EXPECT_THAT(back.cells[0].reason, StartsWith("userfaultfd is not permitted"));
}

TEST(Plan, SaysThatTheSourceCannotBeKeptFromDialling) {
  Machine machine = capable_machine();
  machine.dials_problem = [](Dials dials) {
    return std::string(dials == Dials::destination ? "no nft is here" : "");
  };
  const Plan plan = make_plan(suite_of(kScan, "{use: wan}, {use: nat}"), machine);
  EXPECT_EQ(cell_of(plan, "tcp_copy/scan/wan").status, CellStatus::planned);
  EXPECT_EQ(cell_of(plan, "tcp_copy/scan/nat").reason, "no nft is here");
}

TEST(Plan, ExpectsWhoCrossesALinkToOutlastItsCut) {
  const Plan plan = make_plan(suite_of(kScan, "{use: lan}, {use: outage}"), capable_machine());
  EXPECT_LT(cell_of(plan, "tcp_copy/scan/lan").estimated_s, 1);
  EXPECT_EQ(cell_of(plan, "tcp_copy/scan/outage").estimated_s, 6);
  EXPECT_LT(cell_of(plan, "floor/scan/outage").estimated_s, 1);
}

TEST(Plan, SaysWhenThereAreNotSoManyHosts) {
  Machine machine = capable_machine();
  machine.destinations_max = 1;
  const Plan plan = make_plan(suite_of("{name: two, does: update, region: 1MiB, receivers: 2}",
                                       "{use: lan}", "{use: mmap_push}"),
                              machine);
  EXPECT_EQ(plan.cells[0].reason,
            "there are at most 1 hosts to be destinations; lower `receivers`");
}

TEST(Plan, SaysWhatAPeerCannotBeAsked) {
  Machine machine = capable_machine();
  const std::string reads =
      "{name: some, does: read, region: 1MiB}, {name: timed, does: read, region: 1MiB, for: 1s}, "
      "{name: crowd, does: read, region: 1MiB, threads: 2}, "
      "{name: nowhere, does: read, region: 1MiB, source: computed}, ";
  const Suite suite = suite_of(reads + kMove, "{use: local}", "{use: peer:other}, {use: floor}");
  EXPECT_EQ(cell_of(make_plan(suite, machine), "other/some/local").reason,
            "no program for it was named; name one with --peer other=EXECUTABLE");
  machine.peers = {{"other", "/bin/true"}};
  const Plan plan = make_plan(suite, machine);
  EXPECT_EQ(cell_of(plan, "other/some/local").status, CellStatus::planned);
  for (const char* cell : {"other/timed/local", "other/crowd/local"})
    EXPECT_EQ(cell_of(plan, cell).reason, "a peer reads a number of accesses, with one thread");
  EXPECT_EQ(cell_of(plan, "other/nowhere/local").reason,
            "a peer needs the region's bytes, which are only computed here");
  EXPECT_EQ(cell_of(plan, "other/move/local").reason, "peer has no hand-over");
  EXPECT_EQ(cell_of(plan, "floor/nowhere/local").reason,
            "floor shares the region's memory, which computed content has not");
}

TEST(Plan, NeedsNoMemoryForWhatIsComputed) {
  const auto memory = [](const std::string& keys, const std::string& cell) {
    const Plan plan =
        make_plan(suite_of("{name: huge, does: read, region: 64GiB" + keys + "}", "{use: local}",
                           "{use: userfaultfd}, {use: tcp_copy}, "
                           "{use: userfaultfd, as: here, with: {backend: local}}",
                           ", timeout: 1h"),
                  capable_machine());
    return cell_of(plan, cell).memory_bytes >> 30;
  };
  EXPECT_EQ(memory(", accesses: 64", "userfaultfd/huge/local"), 128u);
  EXPECT_EQ(memory(", accesses: 64, source: computed", "userfaultfd/huge/local"), 0u);
  EXPECT_EQ(memory(", accesses: 64, source: computed", "tcp_copy/huge/local"), 64u);
  EXPECT_EQ(memory(", source: computed", "userfaultfd/huge/local"), 64u);
  EXPECT_EQ(memory(", accesses: 64, source: computed", "here/huge/local"), 64u);
}

TEST(Plan, GivesEachApproachItsOwnOptions) {
  Machine machine = capable_machine();
  machine.unmet = [](const SyncStrategy& strategy,
                     const Options& options) -> std::vector<std::string> {
    const bool is_pull = strategy.info().name == "userfaultfd";
    if (is_pull && options.text("prefetch") == "none") return {"not this one"};
    return {};
  };
  const Plan plan = make_plan(
      suite_of(kScan, "{use: local}",
               "{use: userfaultfd}, {use: userfaultfd, as: demand, with: {prefetch: none}}"),
      machine);
  EXPECT_EQ(cell_of(plan, "userfaultfd/scan/local").status, CellStatus::planned);
  EXPECT_EQ(cell_of(plan, "demand/scan/local").reason, "not this one");
}

TEST(Plan, RefusesOptionsThatTheApproachItselfRefuses) {
  Machine machine = capable_machine();
  machine.unmet = [](const SyncStrategy&, const Options&) -> std::vector<std::string> {
    throw std::invalid_argument("option 'unit': 5KiB is no power of two");
  };
  EXPECT_EQ(
      refusal(suite_of(kScan, "{use: local}", "{use: userfaultfd, with: {unit: 5KiB}}"), machine),
      "s.yaml:1:112: userfaultfd: option 'unit': 5KiB is no power of two");
}

TEST(Plan, TakesOneEngineForAllLinks) {
  Machine machine = capable_machine();
  // tun can't make the second link, none neither: most links win, and the rest says why.
  machine.shape_problem = [](LinkEngine engine, const LinkShape& shape) -> std::string {
    if (engine == LinkEngine::tun && shape.bits_per_second > 1'000'000'000u)
      return "tun is too slow here";
    return described_shape_problem(engine, shape);
  };
  const Suite suite =
      suite_of(kScan, "{use: local}, {name: fast, rate: 40Gbit/s}, {use: lan}", "{use: tcp_copy}");
  const Plan plan = make_plan(suite, machine);
  EXPECT_EQ(plan.engine, LinkEngine::tun);
  EXPECT_EQ(cell_of(plan, "tcp_copy/scan/lan").status, CellStatus::planned);
  EXPECT_EQ(cell_of(plan, "tcp_copy/scan/fast").reason,
            "tun is too slow here (tc: this kernel has no netem); use a kernel with sch_netem");

  machine.engines[0] = {LinkEngine::tc, true, "", ""};
  EXPECT_EQ(make_plan(suite, machine).engine, LinkEngine::tc)
      << "the most preferred that makes all";
}

TEST(Plan, KeepsToTheEngineThatIsAskedFor) {
  const Plan none =
      make_plan(suite_of(kScan, "{use: local, engine: none}, {use: lan}", "{use: tcp_copy}"),
                capable_machine());
  EXPECT_EQ(none.engine, LinkEngine::none);
  EXPECT_EQ(cell_of(none, "tcp_copy/scan/local").status, CellStatus::planned);
  EXPECT_THAT(cell_of(none, "tcp_copy/scan/lan").reason,
              StartsWith("engine none neither delays nor limits"));

  const Plan tc =
      make_plan(suite_of(kScan, "{use: lan, engine: tc}", "{use: tcp_copy}"), capable_machine());
  EXPECT_EQ(
      tc.cells[0].reason,
      "link engine tc is not available: this kernel has no netem; use a kernel with sch_netem");
}

TEST(Plan, IsUnsupportedThroughoutWithoutAnyEngine) {
  Machine machine = capable_machine();
  machine.engines = {{LinkEngine::none, false, "no namespaces", "run as root"}};
  const Plan plan = make_plan(suite_of(kScan), machine);
  for (const Cell& cell : plan.cells)
    EXPECT_EQ(cell.reason, "no link engine runs on this machine; run `memsync doctor`");
  EXPECT_TRUE(order(plan, 1).empty());
}

TEST(Plan, SaysWhichCpuIsNotThere) {
  const Plan plan =
      make_plan(suite_of(kScan, "{use: local}", "{use: floor}", ", placement: {destination: 7}"),
                capable_machine());
  EXPECT_EQ(plan.cells[0].reason,
            "CPU 7 to pin to is not there: this machine has 2; take a lower number, or any");
}

TEST(Plan, KnowsTheCpuOfASeriesOfItsOwn) {
  const Plan plan = make_plan(
      suite_of(kScan, "{use: local}", "{use: floor, cpu: 1}, {use: floor, as: other, cpu: 2}",
               ", placement: {destination: 7}"),
      capable_machine());
  EXPECT_EQ(plan.cells[0].reason, "");
  EXPECT_THAT(plan.cells[1].reason, StartsWith("CPU 2 to pin to is not there"));
}

TEST(Plan, LeavesOutWhatIsExcludedAndKeepsTheReason) {
  const Plan plan = make_plan(suite_of(kScan, "{use: local}, {use: lan}",
                                       "{use: userfaultfd}, {use: userfaultfd, as: demand, with: "
                                       "{prefetch: none}}, {use: floor}",
                                       ", exclude: [{approach: demand, link: lan, because: one}, "
                                       "{approach: userfaultfd, link: local, because: all}]"),
                              capable_machine());
  EXPECT_EQ(cell_of(plan, "demand/scan/lan").reason, "one");
  EXPECT_EQ(cell_of(plan, "demand/scan/local").reason, "all")
      << "a `use` name stands for all its series";
  EXPECT_EQ(cell_of(plan, "userfaultfd/scan/local").status, CellStatus::excluded);
  EXPECT_EQ(cell_of(plan, "userfaultfd/scan/lan").status, CellStatus::planned);
  const Plan several =
      make_plan(suite_of(kScan, "{use: local}, {use: lan}, {use: wan}", "{use: floor}",
                         ", exclude: [{approach: floor, link: lan|wan, because: both}]"),
                capable_machine());
  EXPECT_EQ(cell_of(several, "floor/scan/local").status, CellStatus::planned);
  EXPECT_EQ(cell_of(several, "floor/scan/lan").reason, "both");
  EXPECT_EQ(cell_of(several, "floor/scan/wan").reason, "both");
  EXPECT_EQ(refusal(suite_of(kScan, "{use: local}", "{use: floor}",
                             ", exclude: [{link: local, because: x}]"),
                    capable_machine()),
            "s.yaml: `exclude` leaves no cell");
}

TEST(Plan, RefusesWhatCannotEndInTime) {
  const std::string whole = "{name: scan, does: read, region: 64MiB}";
  EXPECT_EQ(refusal(suite_of(whole, "{use: wan}",
                             "{use: userfaultfd, as: demand, with: {prefetch: none, unit: 4KiB}}"),
                    capable_machine()),
            "s.yaml:1:35: a repetition of demand/scan/wan takes at least 825 s, the timeout is 60 "
            "s: lower `accesses` "
            "or `region`, or raise `timeout`");
  const std::string bounded = "{name: scan, does: read, region: 64MiB, accesses: 1000}";
  EXPECT_EQ(refusal(suite_of(bounded, "{use: wan}",
                             "{use: userfaultfd, as: demand, with: {prefetch: none, unit: 4KiB}}"),
                    capable_machine()),
            "accepted");
  EXPECT_THAT(
      refusal(suite_of("{name: m, does: handover, region: 1GiB}", "{use: wan}"), capable_machine()),
      HasSubstr("lower `region` or `after` (a reader: `accesses`)"));
  // A cell that won't run doesn't refuse the suite.
  EXPECT_EQ(
      refusal(suite_of("{name: m, does: handover, region: 1GiB}", "{use: wan}", "{use: tcp_copy}"),
              capable_machine()),
      "accepted");
  EXPECT_EQ(
      refusal(suite_of("{name: m, does: handover, region: 1GiB}"), capable_machine(), "link=local"),
      "accepted");
}

double estimate_of(const std::string& workload, const std::string& link,
                   const std::string& approach) {
  const Plan plan =
      make_plan(suite_of(workload, link, approach, ", timeout: 24h"), capable_machine());
  return plan.cells.at(0).estimated_s;
}

TEST(Estimate, FollowsFromThePhysicsOfTheLink) {
  const std::string link = "{name: l, rate: 80Mbit/s, rtt: 100ms}";  // 10 MB/s
  constexpr double kFixed = 0.4 + 3 * 0.1;
  const std::string region = "{name: w, does: read, region: 20MB, ";
  EXPECT_NEAR(estimate_of(region + "accesses: 1}", link, "{use: tcp_copy}"), kFixed + 2, 1e-9);
  EXPECT_NEAR(estimate_of(region + "touch: 10kB, accesses: 100}", link, "{use: userfaultfd}"),
              kFixed + 0.1, 1e-9);
  // 100 accesses of 10 kB are 1 MB: 16 requests of 64 KiB, one after the other.
  EXPECT_NEAR(estimate_of(region + "touch: 10kB, accesses: 100}", link,
                          "{use: userfaultfd, with: {prefetch: none}}"),
              kFixed + 16 * 0.1 + 16 * 65536 / 1e7, 1e-9);
  EXPECT_NEAR(estimate_of(region + "for: 3s}", link, "{use: userfaultfd}"), kFixed + 3, 1e-9);
  EXPECT_NEAR(estimate_of(region + "accesses: 100}", link, "{use: floor}"), 0.4, 1e-9)
      << "nothing crosses the link";
  EXPECT_NEAR(estimate_of("{name: w, does: handover, region: 20MB, after: 500ms}", link,
                          "{use: userfaultfd}"),
              kFixed + 2 * 0.5 + 2 * 0.1 + 2, 1e-9);
  EXPECT_NEAR(
      estimate_of("{name: w, does: update, region: 20MB, dirty: 10%, rounds: 3, receivers: 2}",
                  link, "{use: mmap_push}"),
      kFixed + 2 * 2 + 3 * (0.1 + 2 * 0.2), 1e-9);
}

TEST(Estimate, RandomAccessesNeedOneRequestPerDistinctUnit) {
  // 1000 draws of 100 units leave hardly any out: 100 (1 - 0.99^1000) = 99.996.
  const double estimate =
      estimate_of("{name: w, does: read, region: 6400KiB, access: random, accesses: 1000}",
                  "{name: l, rtt: 100ms}", "{use: userfaultfd, with: {prefetch: none}}");
  EXPECT_NEAR(estimate, 0.4 + 0.3 + 9.9996 + 6553600 / 1e9, 1e-3);
}

TEST(Plan, SumsTimeAndTakesTheLargestMemory) {
  Suite suite = suite_of("{name: a, does: read, region: 1MiB}, {name: b, does: read, region: 2MiB}",
                         "{use: local}", "{use: tcp_copy}");
  suite.reps = 4;
  suite.warmup = 1;
  const Plan plan = make_plan(suite, capable_machine());
  const double block = plan.cells[0].estimated_s + plan.cells[1].estimated_s;
  EXPECT_FALSE(plan.calibrates_each_block) << "0.6 s is more than a tenth of a block of 0.8 s";
  EXPECT_NEAR(plan.estimated_s, 5 * block + 0.6, 1e-9);
  EXPECT_EQ(plan.memory_bytes, plan.cells[1].memory_bytes);

  suite.workloads[1].for_duration = std::chrono::seconds(30);
  const Plan longer = make_plan(suite, capable_machine());
  EXPECT_TRUE(longer.calibrates_each_block);
  EXPECT_NEAR(longer.estimated_s, 5 * (0.4 + 0.4 + 30 + 2 * 2.0971520e-3 / 2 + 1.048576e-3 + 0.6),
              1e-6);
}

TEST(CellFilterExpression, PlansOnlyWhatMatchesAllItsTerms) {
  const Suite suite =
      suite_of(std::string(kScan) + ", " + kMove, "{use: local}, {use: lan}",
               "{use: userfaultfd}, {use: userfaultfd, as: uffd-demand}, {use: tcp_copy}");
  const auto count = [&](const std::string& filter) {
    return make_plan(suite, capable_machine(), filter).cells.size();
  };
  EXPECT_EQ(count(""), 12u);
  EXPECT_EQ(count("series=uffd-demand,link=lan"), 2u);
  EXPECT_EQ(count("approach=userfaultfd"), 8u);
  EXPECT_EQ(count("series=u*d"), 8u);
  EXPECT_EQ(count("series=*"), 12u);
  EXPECT_EQ(count("series=*f*d*,workload=sc*n"), 4u);
}

TEST(CellFilterExpression, NamesWhatThereIsWhenNothingMatches) {
  const Suite suite =
      suite_of(kScan, "{use: local}, {use: lan}", "{use: floor}, {use: floor, as: f2}");
  const Machine machine = capable_machine();
  EXPECT_EQ(refusal(suite, machine, "link=lam"),
            "filter: no link matches 'lam' (did you mean 'lan'?); there are: local lan");
  EXPECT_EQ(refusal(suite, machine, "lnk=lan"),
            "filter: 'lnk' is none of series, approach, workload, link (did you mean 'link'?)");
  EXPECT_EQ(refusal(suite, machine, "lan"),
            "filter: 'lan' is no term: KEY=PATTERN, like link=lan or series=uffd-*");
  EXPECT_EQ(refusal(suite, machine, "link=lan,link=local"),
            "s.yaml: the filter's terms have no cell in common");
  EXPECT_EQ(refusal(suite, machine, "series=*" + std::string(2000, '*') + "x"),
            "filter: no series matches '*" + std::string(2000, '*') + "x'; there are: floor f2");
}

TEST(PlanJson, IsAsItsReadersExpect) {
  const Suite suite = suite_of(std::string(kScan) + ", " + kMove, "{use: local}",
                               "{use: tcp_copy}, {use: userfaultfd, as: demand}");
  const auto document = nlohmann::json::parse(to_json(make_plan(suite, capable_machine()), suite));
  ASSERT_EQ(document["cells"].size(), 4u);
  EXPECT_EQ(document["cells"][1]["cell_id"], "tcp_copy/move/local");
  EXPECT_EQ(document["cells"][1]["status"], "unsupported");
  EXPECT_EQ(document["cells"][1]["reason"], "tcp_copy has no hand-over");
  EXPECT_EQ(document["cells"][2]["approach"], "userfaultfd");
  EXPECT_EQ(document["cells"][2]["workload"], "scan");
  EXPECT_EQ(document["cells"][2]["link"], "local");
  EXPECT_GT(document["cells"][2]["estimated_s"].get<double>(), 0.4);
  EXPECT_GT(document["estimated_s"].get<double>(), 20 * 0.4);
  EXPECT_GT(document["memory_B"].get<uint64_t>(), uint64_t{2} << 20);
}

// The promise of a first campaign that is over before anyone has lost patience.
TEST(ShippedSuites, EndInTheTimeTheyPromise) {
  const auto minutes = [](const std::string& name) {
    const Suite suite =
        load_suite(std::string(MEMSYNC_SUITES) + "/" + name + ".yaml", {}, described_strategies());
    return make_plan(suite, capable_machine()).estimated_s / 60;
  };
  EXPECT_LT(minutes("quick"), 75.0 / 60);
  EXPECT_LT(minutes("first-chunk"), 60);
  EXPECT_LT(minutes("throughput"), 60);
  std::printf("estimated: quick %.2f, first-chunk %.1f, throughput %.1f min\n", minutes("quick"),
              minutes("first-chunk"), minutes("throughput"));
}

}  // namespace
}  // namespace memsync
