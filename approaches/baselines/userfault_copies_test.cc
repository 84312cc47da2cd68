// The ceilings that place by UFFDIO_COPY: every byte right, whatever the sizes.
#include <gtest/gtest.h>

#include "approaches/baselines/placed_memory.h"
#include "approaches/baselines/two_sides.h"
#include "lib/os/userfault.h"
#include "lib/region/digest.h"

namespace memsync {
namespace {

using namespace std::chrono_literals;
using baselines::TwoSides;

struct Copy {
  const char* name;
  uint64_t size;
  const char* unit;
};

class UserfaultCopies : public testing::TestWithParam<Copy> {
 protected:
  void SetUp() override {
    if (const auto problems = Userfault::problems({}); !problems.empty())
      GTEST_SKIP() << problems[0];
  }
};

TEST_P(UserfaultCopies, HaveEveryByteWhenTheyHaveOpened) {
  const auto& [name, size, unit] = GetParam();
  TwoSides sides(name, size, {{"unit", unit}});
  sides.open();
  const auto memory = sides.destination->region().memory;
  ASSERT_EQ(memory.size(), size);
  EXPECT_EQ(digest_of(memory), digest_of(sides.expected()));
  memory[0] ^= std::byte{1};  // plain memory now
  EXPECT_NE(digest_of(memory), digest_of(sides.expected()));
}
INSTANTIATE_TEST_SUITE_P(
    Sizes, UserfaultCopies,
    testing::Values(Copy{"uffd_copy", 1, "4KiB"}, Copy{"uffd_copy", 4096, "4KiB"},
                    Copy{"uffd_copy", 1'000'003, "4KiB"}, Copy{"uffd_copy", 1'000'003, "256KiB"},
                    Copy{"uffd_copy", 3 << 20, "12KiB"}, Copy{"tcp_uffd_copy", 1, "4KiB"},
                    Copy{"tcp_uffd_copy", 4097, "256KiB"},
                    Copy{"tcp_uffd_copy", 1'000'003, "256KiB"},
                    Copy{"tcp_uffd_copy", 3 << 20, "2MiB"}));

TEST_F(UserfaultCopies, TakeLaterCopiesIntoTheSameMemory) {
  TwoSides sides("tcp_uffd_copy", 1'000'003);
  sides.open();
  sides.source->region().memory[999'999] ^= std::byte{0xff};
  const auto report = sides.source->sync(after(10s));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(sides.destination->region().memory[999'999], sides.source->region().memory[999'999]);
  EXPECT_EQ(sides.destination->statistics().payload_received, 2u * 1'000'003);
}

TEST_F(UserfaultCopies, MoveNothingOverTheLinkWhereTheBytesAreHere) {
  TwoSides sides("uffd_copy", 1 << 20);
  sides.open_destination();  // without any source
  EXPECT_EQ(digest_of(sides.destination->region().memory), digest_of(sides.expected()));
  EXPECT_EQ(sides.destination->statistics().payload_received, std::nullopt);
}

TEST(PlacedUnit, IsWholePagesWithinBounds) {
  for (const char* unit : {"0B", "1B", "4097B", "65MiB"}) {
    const auto& strategy = TwoSides::named("uffd_copy");
    EXPECT_THROW(strategy.unmet_requirements(Options(strategy.info().options, {{"unit", unit}})),
                 std::invalid_argument)
        << unit;
  }
}

}  // namespace
}  // namespace memsync
