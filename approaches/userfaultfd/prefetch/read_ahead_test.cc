// Which accesses read-ahead follows, and how far.
#include "approaches/userfaultfd/prefetch/read_ahead.h"

#include <gtest/gtest.h>
#include <vector>

#include "lib/region/content.h"

namespace memsync::userfaultfd {
namespace {

std::vector<UnitIndex> take_all(ReadAhead& ahead) {
  std::vector<UnitIndex> units;
  while (const auto unit = ahead.take()) units.push_back(*unit);
  return units;
}

TEST(ReadAhead, StartsAtTheRegionsFirstUnit) {
  ReadAhead ahead(100, 4);
  ahead.fault_at(0);
  EXPECT_EQ(take_all(ahead), (std::vector<UnitIndex>{1, 2, 3, 4}));
}

TEST(ReadAhead, StartsAtAFaultRightBehindAnotherAndNotAtALoneOne) {
  ReadAhead ahead(100, 4);
  ahead.fault_at(50);
  EXPECT_TRUE(take_all(ahead).empty());
  ahead.fault_at(51);
  EXPECT_EQ(take_all(ahead), (std::vector<UnitIndex>{52, 53, 54, 55}));
}

TEST(ReadAhead, DoublesWhenTheReaderCatchesUp) {
  ReadAhead ahead(1000, 4);
  ahead.fault_at(0);
  take_all(ahead);
  ahead.fault_at(5);                      // right behind what was asked for
  EXPECT_EQ(take_all(ahead).size(), 8u);  // 6 to 13
  ahead.fault_at(9);                      // inside it: not there yet
  EXPECT_EQ(take_all(ahead).back(), 25u);
}

TEST(ReadAhead, EndsAtTheRegionsEnd) {
  ReadAhead ahead(10, 4);
  for (UnitIndex unit = 7; unit < 10; ++unit) ahead.fault_at(unit);
  EXPECT_EQ(take_all(ahead), (std::vector<UnitIndex>{}));
  ReadAhead one(1, 4);
  one.fault_at(0);
  EXPECT_TRUE(take_all(one).empty());
}

TEST(ReadAhead, FollowsSeveralReadersAtOnce) {
  ReadAhead ahead(10000, 4);
  for (UnitIndex step = 0; step < 2; ++step)
    for (UnitIndex reader = 1; reader <= 6; ++reader) ahead.fault_at(reader * 1000 + step);
  EXPECT_EQ(take_all(ahead).size(), 6 * 4u);
}

TEST(ReadAhead, IgnoresASecondThreadInTheSameUnit) {
  ReadAhead ahead(100, 4);
  ahead.fault_at(50);
  ahead.fault_at(50);
  ahead.fault_at(50);
  EXPECT_TRUE(take_all(ahead).empty());
}

TEST(ReadAhead, WastesLittleOnRandomAccesses) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  constexpr UnitIndex kUnits = 4096;
  ReadAhead ahead(kUnits, 4);
  SeededDraws draws(kSeed);
  size_t taken = 0;
  constexpr size_t kFaults = 1000;
  for (size_t i = 0; i < kFaults; ++i) {
    ahead.fault_at(1 + draws.below(kUnits - 1));
    taken += take_all(ahead).size();
  }
  EXPECT_LT(taken, kFaults / 10);
}

}  // namespace
}  // namespace memsync::userfaultfd
