// What the running kernel's userfaultfd offers, and whether Userfault tells it right.
#include "lib/os/userfault.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/pagemap.h"
#include "lib/os/userfault_kernel.h"

namespace memsync {
namespace {

struct Release {
  int major = 0;
  int minor = 0;
  auto operator<=>(const Release&) const = default;
};

std::string kernel_name() {
  utsname system{};
  check(::uname(&system), "uname");
  return system.release;
}

Release running_release() {
  Release release;
  if (std::sscanf(kernel_name().c_str(), "%d.%d", &release.major, &release.minor) != 2)
    throw_errno("reading the kernel's release " + kernel_name(), EINVAL);
  return release;
}

bool offers(const Userfault::Wishes& wishes) {
  return Userfault::problems(wishes).empty();
}

// Whether PAGEMAP_SCAN is understood.
bool can_scan() {
  const Mapping mapping = Mapping::anonymous(page_bytes());
  try {
    Pagemap().for_each_written(mapping.page_span(), Pagemap::Then::leave, Pagemap::Absent::left_out,
                               [](auto) {});
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

#ifdef __aarch64__
constexpr Release kWriteProtection{6, 10};
#else
constexpr Release kWriteProtection{5, 7};
#endif

struct Feature {
  const char* name;
  Release since;
  bool (*is_there)();
};
void PrintTo(const Feature& feature, std::ostream* out) {
  *out << feature.name;
}

class KernelFeature : public testing::TestWithParam<Feature> {};

INSTANTIATE_TEST_SUITE_P(
    All, KernelFeature,
    testing::Values(
        Feature{"Move", {4, 11}, [] { return offers({}); }},
        Feature{"Sigbus", {4, 14}, [] { return offers({.raises_sigbus = true}); }},
        Feature{"Faults", kWriteProtection,
                [] { return offers({.tracking = Userfault::WriteTracking::faults}); }},
        Feature{"Device", {6, 1}, [] { return offers({.door = Userfault::Door::device}); }},
        Feature{"Poison", {6, 6}, [] { return Userfault::open({}).has_poison(); }},
        Feature{
            "Scan", {6, 7}, [] { return offers({.tracking = Userfault::WriteTracking::scan}); }},
        Feature{"PagemapScan", {6, 7}, can_scan}),
    [](const auto& test) { return std::string(test.param.name); });

// Requirement Z1. In a guest the kernel is one that brings nothing back from newer ones.
TEST_P(KernelFeature, IsThereFromItsReleaseOn) {
  if (!offers({.door = Userfault::Door::device}) && !offers({.door = Userfault::Door::call}))
    GTEST_SKIP() << Userfault::problems({}).at(0);
  const Feature& feature = GetParam();
  if (running_release() >= feature.since)
    EXPECT_TRUE(feature.is_there()) << "kernel " << kernel_name();
  else if (std::getenv("MEMSYNC_GUEST") != nullptr)
    EXPECT_FALSE(feature.is_there()) << "kernel " << kernel_name();
  else
    GTEST_SKIP() << "kernel " << kernel_name() << " is older; a distribution may have it anyway";
}

TEST(Userfault, OfAKernelWithoutScanningSaysWhichReleaseHasIt) {
  const auto problems = Userfault::problems({.tracking = Userfault::WriteTracking::scan});
  if (problems.empty()) GTEST_SKIP() << "kernel " << kernel_name() << " has it";
  if (!offers({})) GTEST_SKIP() << problems.at(0);
  EXPECT_NE(problems.at(0).find("6.7 or newer"), std::string::npos) << problems.at(0);
  EXPECT_NE(problems.at(0).find("use 'faults'"), std::string::npos) << problems.at(0);
}

}  // namespace
}  // namespace memsync
