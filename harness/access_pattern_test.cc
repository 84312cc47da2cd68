// Where accesses fall.
#include "harness/access_pattern.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <vector>

namespace memsync {
namespace {

AccessSpec order(AccessOrder order) {
  AccessSpec access;
  access.order = order;
  return access;
}

AccessSpec zipf(double theta) {
  AccessSpec access = order(AccessOrder::zipf);
  access.theta = theta;
  return access;
}

AccessSpec stride(uint64_t bytes) {
  AccessSpec access = order(AccessOrder::stride);
  access.stride_bytes = bytes;
  return access;
}

AccessSpec trace(std::vector<uint64_t> offsets) {
  AccessSpec access = order(AccessOrder::trace);
  access.trace = std::move(offsets);
  return access;
}

std::vector<ByteRange> first(const AccessPattern& pattern, uint64_t count) {
  std::vector<ByteRange> ranges;
  for (uint64_t i = 0; i < count; ++i) ranges.push_back(pattern.at(i));
  return ranges;
}

TEST(AccessPattern, SequentialCoversTheRegionOnceWithItsShortTailAndBeginsAgain) {
  const AccessPattern pattern(order(AccessOrder::sequential), 10000, 4096, 1);
  EXPECT_EQ(first(pattern, 4),
            (std::vector<ByteRange>{{0, 4096}, {4096, 4096}, {8192, 1808}, {0, 4096}}));
}

TEST(AccessPattern, EveryOrderTouchesTheOnlyByteOfAOneByteRegion) {
  for (const AccessSpec& access : {order(AccessOrder::sequential), order(AccessOrder::random),
                                   zipf(0.99), zipf(1), stride(4096), trace({0})}) {
    const AccessPattern pattern(access, 1, 1, 1);
    for (uint64_t i : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}})
      EXPECT_EQ(pattern.at(i), (ByteRange{0, 1})) << static_cast<int>(access.order);
  }
}

TEST(AccessPattern, StaysWithinTheRegionAtEveryIndexAndSize) {
  for (const uint64_t region :
       {uint64_t{2}, uint64_t{4095}, uint64_t{4097}, (uint64_t{1} << 60) - 1})
    for (const uint64_t touch : {uint64_t{1}, uint64_t{3}, uint64_t{4096}}) {
      if (touch > region) continue;
      for (const AccessSpec& access : {order(AccessOrder::sequential), order(AccessOrder::random),
                                       zipf(0.5), zipf(1), zipf(4.99), stride(1234567)}) {
        const AccessPattern pattern(access, region, touch, 9);
        for (const uint64_t base : {uint64_t{0}, uint64_t{1} << 40, ~uint64_t{0} - 200})
          for (uint64_t i = base; i < base + 200; ++i) {
            const ByteRange range = pattern.at(i);
            ASSERT_TRUE(range.length >= 1 && lies_within(range.offset, range.length, region))
                << region << " " << touch << " " << static_cast<int>(access.order) << " " << i;
          }
      }
    }
}

TEST(AccessPattern, StrideWrapsAroundTheEnd) {
  const AccessPattern pattern(stride(4096), 10000, 4096, 1);
  EXPECT_EQ(first(pattern, 4),
            (std::vector<ByteRange>{{0, 4096}, {4096, 4096}, {8192, 1808}, {12288 - 10000, 4096}}));
  // 2^63 * 4096 exceeds 64 bits: (2^75) mod 10000
  EXPECT_EQ(pattern.at(uint64_t{1} << 63).offset, 9568u);
}

TEST(AccessPattern, ATraceIsFollowedLineByLineAndBeginsAgain) {
  const AccessPattern pattern(trace({5, 9999, 0}), 10000, 4096, 1);
  EXPECT_EQ(first(pattern, 4),
            (std::vector<ByteRange>{{5, 4096}, {9999, 1}, {0, 4096}, {5, 4096}}));
}

TEST(AccessPattern, IsTheSameForTheSameSeedAndOtherForAnother) {
  for (const AccessSpec& access : {order(AccessOrder::random), zipf(0.99)}) {
    const AccessPattern one(access, 1 << 30, 4096, 7), twin(access, 1 << 30, 4096, 7),
        other(access, 1 << 30, 4096, 8);
    EXPECT_EQ(first(one, 100), first(twin, 100));
    EXPECT_NE(first(one, 100), first(other, 100));
  }
}

TEST(AccessPattern, OfAnotherDrawHasOtherAccessesAndTheSameFavourites) {
  for (const AccessSpec& access : {order(AccessOrder::random), zipf(0.99)})
    EXPECT_NE(first(AccessPattern(access, 1 << 30, 4096, 7, 1), 100),
              first(AccessPattern(access, 1 << 30, 4096, 7, 2), 100));
  for (const AccessSpec& access : {order(AccessOrder::sequential), stride(4096), trace({5, 0})})
    EXPECT_EQ(first(AccessPattern(access, 1 << 20, 4096, 7, 1), 100),
              first(AccessPattern(access, 1 << 20, 4096, 7, 2), 100));
  std::map<uint64_t, int> touched_in;  // offset -> in how many draws
  for (uint64_t draw = 0; draw < 3; ++draw) {
    std::map<uint64_t, int> counts;
    const AccessPattern pattern(zipf(1.2), 1 << 24, 4096, 7, draw);
    for (uint64_t i = 0; i < 4000; ++i) ++counts[pattern.at(i).offset];
    const auto favourite =
        std::ranges::max_element(counts, {}, [](auto& entry) { return entry.second; });
    ++touched_in[favourite->first];
  }
  EXPECT_EQ(touched_in.size(), 1u) << "each draw has another favourite";
}

// Whoever changes these makes results of before and after incomparable.
TEST(AccessPattern, DrawsTheNumbersItAlwaysDrew) {
  const AccessPattern random(order(AccessOrder::random), 64 << 20, 4096, 1);
  const AccessPattern skewed(zipf(0.99), 64 << 20, 4096, 1);
  std::vector<uint64_t> random_slots, skewed_slots;
  for (uint64_t i = 0; i < 6; ++i) {
    random_slots.push_back(random.at(i).offset / 4096);
    skewed_slots.push_back(skewed.at(i).offset / 4096);
  }
  EXPECT_EQ(random_slots, (std::vector<uint64_t>{7566, 12057, 11244, 7141, 15413, 7079}));
  EXPECT_EQ(skewed_slots, (std::vector<uint64_t>{5136, 14253, 2121, 7361, 14977, 3424}));
}

TEST(AccessPattern, RandomDrawsEachSlotEquallyOften) {
  constexpr uint64_t kSlots = 64, kDraws = 64000;
  const AccessPattern pattern(order(AccessOrder::random), kSlots * 4096, 4096, 3);
  std::vector<double> counts(kSlots, 0);
  for (uint64_t i = 0; i < kDraws; ++i) counts[pattern.at(i).offset / 4096] += 1;
  double chi_square = 0;
  for (const double count : counts) chi_square += (count - 1000) * (count - 1000) / 1000;
  EXPECT_LT(chi_square, 103.4) << "the 99.9 % quantile with 63 degrees of freedom";
}

// Slots in the order of their frequency have the frequencies of the ranks.
void expect_zipf(double theta, uint64_t slots) {
  constexpr uint64_t kDraws = 50000;
  const ZipfRanks ranks(slots, theta);
  std::vector<double> counts(slots + 1, 0);
  for (uint64_t i = 0; i < kDraws; ++i) counts[ranks.rank(i * 77 + 5)] += 1;
  double norm = 0;
  for (uint64_t k = 1; k <= slots; ++k) norm += std::pow(static_cast<double>(k), -theta);
  double chi_square = 0;
  unsigned cells = 0;
  double rest_expected = 0, rest_seen = 0;  // ranks that are expected below 10 times, together
  for (uint64_t k = 1; k <= slots; ++k) {
    const double expected = kDraws * std::pow(static_cast<double>(k), -theta) / norm;
    if (expected < 10) {
      rest_expected += expected;
      rest_seen += counts[k];
      continue;
    }
    chi_square += (counts[k] - expected) * (counts[k] - expected) / expected;
    ++cells;
  }
  if (rest_expected >= 10) {
    chi_square += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++cells;
  }
  // 99.9 % quantile by Wilson and Hilferty's cube root approximation.
  const double freedom = cells - 1;
  const double term = 1 - 2 / (9 * freedom) + 3.09 * std::sqrt(2 / (9 * freedom));
  EXPECT_LT(chi_square, freedom * term * term * term)
      << "theta " << theta << ", " << slots << " slots";
}

TEST(ZipfRanks, AreDrawnWithTheirProbabilities) {
  for (const double theta : {0.2, 0.5, 0.99, 1.0, 1.000001, 1.5, 2.0, 4.0})
    for (const uint64_t slots : {uint64_t{2}, uint64_t{10}, uint64_t{1000}})
      expect_zipf(theta, slots);
}

TEST(AccessPattern, ZipfVisitsTheHotSlotAsOftenAsTheoryButNotAtTheStart) {
  constexpr uint64_t kSlots = 1000, kDraws = 100000;
  const AccessPattern pattern(zipf(0.99), kSlots * 4096, 4096, 11);
  std::map<uint64_t, uint64_t> counts;
  for (uint64_t i = 0; i < kDraws; ++i) ++counts[pattern.at(i).offset / 4096];
  const auto hottest =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  double norm = 0;
  for (uint64_t k = 1; k <= kSlots; ++k) norm += std::pow(static_cast<double>(k), -0.99);
  EXPECT_NEAR(static_cast<double>(hottest->second), kDraws / norm, 600);
  EXPECT_NE(hottest->first, 0u) << "ranks are shuffled over the slots";
}

TEST(SeededShuffle, IsABijectionOfAnySize) {
  for (const uint64_t size : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 1000u, 4096u, 4097u, 65537u}) {
    const SeededShuffle shuffle(size, 5);
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) seen.insert(shuffle(i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
}

TEST(SeededShuffle, LeavesFewValuesInPlaceAndNeedsNoMemoryForLargeOnes) {
  const SeededShuffle shuffle(10000, 5);
  uint64_t fixed = 0;
  for (uint64_t i = 0; i < 10000; ++i) fixed += shuffle(i) == i;
  EXPECT_LT(fixed, 8u) << "one is expected";
  const SeededShuffle huge(uint64_t{1} << 60, 5);
  EXPECT_LT(huge(12345), uint64_t{1} << 60);
}

}  // namespace
}  // namespace memsync
