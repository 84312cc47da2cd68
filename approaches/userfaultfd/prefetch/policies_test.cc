// What each policy makes of each pattern: how many faults are left, and what was brought in vain.
#include "approaches/userfaultfd/prefetch/policies.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

#include "approaches/userfaultfd/prefetch/in_order.h"
#include "lib/region/content.h"

namespace memsync::userfaultfd {
namespace {

constexpr UnitIndex kUnits = 4096;
constexpr uint64_t kSeed = 13;
using Accesses = std::vector<UnitIndex>;

// What is left of the faults when all that a policy asks for is there before the next access.
struct Trial {
  size_t faults = 0;
  size_t distinct = 0;  // units accessed
  size_t in_vain = 0;   // units brought ahead and never accessed
};

Trial try_out(Prefetcher& policy, const Accesses& accesses) {
  Trial trial;
  std::vector<bool> is_here(kUnits, false);
  std::set<UnitIndex> ahead;
  const auto take_all = [&] {
    while (const auto unit = policy.take()) {
      if (!is_here[*unit]) ahead.insert(*unit);
      is_here[*unit] = true;
    }
  };
  take_all();
  for (const UnitIndex unit : accesses) {
    if (is_here[unit]) continue;
    ++trial.faults;
    is_here[unit] = true;
    policy.fault_at(unit);
    take_all();
  }
  const std::set<UnitIndex> accessed(accesses.begin(), accesses.end());
  trial.distinct = accessed.size();
  trial.in_vain = static_cast<size_t>(
      std::ranges::count_if(ahead, [&](UnitIndex unit) { return !accessed.contains(unit); }));
  return trial;
}

Trial try_out(Prefetch policy, const Accesses& accesses) {
  const auto prefetcher = make_prefetcher({.prefetch = policy}, kUnits, {});
  return try_out(*prefetcher, accesses);
}

Accesses strided(UnitIndex start, int64_t stride, size_t count) {
  Accesses accesses(count);
  for (size_t i = 0; i < count; ++i)
    accesses[i] = start + static_cast<UnitIndex>(stride * static_cast<int64_t>(i));
  return accesses;
}

Accesses in_turns(const Accesses& one, const Accesses& other) {
  Accesses accesses;
  for (size_t i = 0; i < one.size(); ++i) {
    accesses.push_back(one[i]);
    accesses.push_back(other[i]);
  }
  return accesses;
}

Accesses at_random(size_t count, uint64_t seed = kSeed) {
  SeededDraws draws(seed);
  Accesses accesses(count);
  for (UnitIndex& unit : accesses) unit = draws.below(kUnits);
  return accesses;
}

// Rank k with a share of 1/k; the ranks lie scattered, at the same places for every seed.
Accesses zipf(size_t count, uint64_t seed) {
  std::vector<double> sums(kUnits);
  for (UnitIndex rank = 0; rank < kUnits; ++rank)
    sums[rank] = (rank == 0 ? 0 : sums[rank - 1]) + 1.0 / static_cast<double>(rank + 1);
  SeededDraws draws(seed);
  Accesses accesses(count);
  for (UnitIndex& unit : accesses) {
    const auto rank = std::ranges::lower_bound(sums, draws.fraction() * sums.back());
    unit = static_cast<UnitIndex>(rank - sums.begin()) * 2731 % kUnits;  // odd: a permutation
  }
  return accesses;
}

struct Expectation {
  const char* name;
  Prefetch policy;
  Accesses accesses;
  double faults_most;   // per distinct unit
  double in_vain_most;  // per distinct unit
};
void PrintTo(const Expectation& expectation, std::ostream* out) {
  *out << expectation.name;
}

class Policies : public testing::TestWithParam<Expectation> {};

TEST_P(Policies, LeaveFewFaultsWhereTheyCanAndBringLittleInVainWhereTheyCannot) {
  const Expectation& expected = GetParam();
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const Trial trial = try_out(expected.policy, expected.accesses);
  const auto distinct = static_cast<double>(trial.distinct);
  EXPECT_LE(static_cast<double>(trial.faults), expected.faults_most * distinct);
  EXPECT_LE(static_cast<double>(trial.in_vain), expected.in_vain_most * distinct);
}

const Accesses kSequential = strided(0, 1, 1000);
const Accesses kInTheMiddle = strided(1000, 1, 1000);
const Accesses kStride = strided(7, 3, 1000);
const Accesses kBackwards = strided(4000, -2, 1000);
const Accesses kTwoStreams = in_turns(strided(10, 1, 1000), strided(2000, 2, 1000));
const Accesses kRandom = at_random(1000);
const Accesses kZipf = zipf(2000, kSeed);

INSTANTIATE_TEST_SUITE_P(
    Each, Policies,
    testing::Values(Expectation{"none_sequential", Prefetch::none, kSequential, 1, 0},
                    Expectation{"around_sequential", Prefetch::around, kSequential, 0.07, 0.02},
                    Expectation{"around_backwards", Prefetch::around, kBackwards, 0.13, 1.02},
                    Expectation{"around_random", Prefetch::around, kRandom, 0.3, 15},
                    Expectation{"window_sequential", Prefetch::window, kSequential, 0.02, 1},
                    Expectation{"window_in_the_middle", Prefetch::window, kInTheMiddle, 0.02, 1},
                    Expectation{"window_stride", Prefetch::window, kStride, 1, 0},
                    Expectation{"window_random", Prefetch::window, kRandom, 1, 0.1},
                    Expectation{"window_zipf", Prefetch::window, kZipf, 1, 0.1},
                    Expectation{"trend_sequential", Prefetch::trend, kSequential, 0.02, 1},
                    Expectation{"trend_stride", Prefetch::trend, kStride, 0.02, 1},
                    Expectation{"trend_backwards", Prefetch::trend, kBackwards, 0.02, 1},
                    Expectation{"trend_two_streams", Prefetch::trend, kTwoStreams, 0.02, 1},
                    Expectation{"trend_random", Prefetch::trend, kRandom, 1, 0.1},
                    Expectation{"trend_zipf", Prefetch::trend, kZipf, 1, 0.1}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(FaultAround, BringsTheBlockFromBehindTheFaultOnAndEachBlockOnce) {
  const auto policy = make_prefetcher(
      {.prefetch = Prefetch::around, .unit_bytes = 4096, .around_bytes = 4 * 4096}, 10, {});
  const auto take_all = [&] {
    Accesses units;
    while (const auto unit = policy->take()) units.push_back(*unit);
    return units;
  };
  policy->fault_at(6);
  EXPECT_EQ(take_all(), (Accesses{7, 4, 5}));
  policy->fault_at(5);
  EXPECT_EQ(take_all(), Accesses{});
  policy->fault_at(9);  // the region's last block is short
  EXPECT_EQ(take_all(), (Accesses{8}));
}

TEST(Trend, IsNotLostOverStraysInBetween) {
  Accesses accesses;
  for (UnitIndex i = 0; i < 600; ++i) {
    accesses.push_back(5 * i);
    if (i % 7 == 3) accesses.push_back(5 * i + 2);
  }
  const Trial trial = try_out(Prefetch::trend, accesses);
  const Trial without = try_out(Prefetch::none, accesses);
  EXPECT_LT(trial.faults, without.faults / 2);
}

TEST(Trend, GivesOutLessAfterAFaultBesideIt) {
  const auto policy = make_prefetcher({.prefetch = Prefetch::trend}, kUnits, {});
  const auto take_all = [&] {
    size_t count = 0;
    while (policy->take()) ++count;
    return count;
  };
  for (const UnitIndex unit : Accesses{100, 103, 106}) policy->fault_at(unit);
  EXPECT_EQ(take_all(), 4u);
  policy->fault_at(106 + 5 * 3);  // right behind what was given out
  EXPECT_EQ(take_all(), 8u);
  policy->fault_at(122);  // beside it
  policy->fault_at(121 + 9 * 3);
  EXPECT_EQ(take_all(), 8u);  // and not 16
}

TEST(Trend, GoesOnFromWhereAStrideWasLonger) {
  Accesses accesses = strided(0, 4, 200);
  const Accesses shifted = strided(4 * 199 + 6, 4, 200);
  accesses.insert(accesses.end(), shifted.begin(), shifted.end());
  const Trial trial = try_out(Prefetch::trend, accesses);
  EXPECT_LT(trial.faults, 30u);
  EXPECT_LT(trial.in_vain, accesses.size());
}

TEST(Trend, EndsAtBothEndsOfTheRegion) {
  const auto upwards = make_prefetcher({.prefetch = Prefetch::trend}, 10, {});
  for (const UnitIndex unit : Accesses{1, 4, 7}) upwards->fault_at(unit);
  EXPECT_EQ(upwards->take(), std::nullopt);
  const auto downwards = make_prefetcher({.prefetch = Prefetch::trend}, 10, {});
  for (const UnitIndex unit : Accesses{9, 6, 3}) downwards->fault_at(unit);
  EXPECT_EQ(downwards->take(), 0u);
  EXPECT_EQ(downwards->take(), std::nullopt);
}

// The order that a run's faults give, as the next run gets it.
Accesses recorded(const Accesses& accesses) {
  Accesses touches;
  const auto recorder = make_prefetcher({.prefetch = Prefetch::trace, .is_background = true},
                                        kUnits, {.order = {}, .touches = &touches});
  EXPECT_EQ(recorder->take(), std::nullopt) << "a page that was pulled ahead is not seen";
  const Trial trial = try_out(*recorder, accesses);
  EXPECT_EQ(trial.faults, trial.distinct);
  EXPECT_EQ(touches.size(), trial.distinct);
  return touches;
}

TEST(Trace, LeavesNoFaultWhereTheSameIsTouchedAgain) {
  for (const Accesses& accesses : {kRandom, kZipf, kBackwards}) {
    const auto policy =
        make_prefetcher({.prefetch = Prefetch::trace}, kUnits, {.order = recorded(accesses)});
    const Trial trial = try_out(*policy, accesses);
    EXPECT_EQ(trial.faults, 0u);
    EXPECT_EQ(trial.in_vain, 0u);
  }
}

TEST(Trace, HelpsWhereOthersOfTheSameDistributionAreTouched) {
  const Accesses order = recorded(kZipf);
  const auto policy = make_prefetcher({.prefetch = Prefetch::trace}, kUnits, {.order = order});
  const Trial trial = try_out(*policy, zipf(2000, kSeed + 1));
  EXPECT_LT(trial.faults, trial.distinct * 7 / 10);
  EXPECT_LT(trial.in_vain, order.size() * 7 / 10);
}

TEST(Trace, BeginsAnewWithANewOwner) {
  Accesses touches;
  TouchRecorder recorder(kUnits, touches);
  recorder.fault_at(5);
  recorder.start_over();
  recorder.fault_at(9);
  recorder.fault_at(5);
  recorder.fault_at(9);
  EXPECT_EQ(touches, (Accesses{9, 5}));
}

TEST(PriorityPolicy, ListsTheUnitsOfTheRangesInTheirOrderAndEachOnce) {
  constexpr uint64_t kUnit = 4096;
  const std::vector<ByteRange> ranges{{.offset = 10 * kUnit, .length = 2 * kUnit},
                                      {.offset = 0, .length = 1},
                                      {.offset = 11 * kUnit + 5, .length = kUnit}};
  EXPECT_EQ(in_order_of(ranges, kUnit), (Accesses{10, 11, 0, 12}));
}

TEST(PriorityPolicy, AsksACallersFunction) {
  const auto order = by_priority(
      8, [](UnitIndex unit) { return unit < 3 ? int64_t{0} : static_cast<int64_t>(unit / 2); });
  EXPECT_EQ(order, (Accesses{6, 7, 4, 5, 3}));
}

TEST(Background, BringsTheRestInAscendingOrderAfterThePolicysOwn) {
  const auto policy = make_prefetcher({.prefetch = Prefetch::priority, .is_background = true}, 6,
                                      {.order = {4, 1}});
  Accesses units;
  while (const auto unit = policy->take()) units.push_back(*unit);
  EXPECT_EQ(units, (Accesses{4, 1, 0, 1, 2, 3, 4, 5}));
  policy->start_over();
  EXPECT_EQ(policy->take(), 4u);
}

TEST(Background, LeavesTheNextWordToThePolicyAtEachFault) {
  const auto policy =
      make_prefetcher({.prefetch = Prefetch::window, .is_background = true}, kUnits, {});
  EXPECT_EQ(policy->take(), 0u);
  policy->fault_at(2000);
  policy->fault_at(2001);
  EXPECT_EQ(policy->take(), 2002u);
}

}  // namespace
}  // namespace memsync::userfaultfd
