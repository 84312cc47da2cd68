// Options are declared once and refused early.
#include "approaches/options.h"

#include <gtest/gtest.h>
#include <stdexcept>

namespace memsync {
namespace {

constexpr OptionSpec kSpecs[] = {
    {"prefetch", "window", "", "how to read ahead", "none|window"},
    {"unit", "64KiB", "bytes", "bytes per request"},
    {"deadline", "10s", "duration", "how long a fault may take"},
    {"handlers", "1", "count", "threads"},
};

TEST(Options, HaveTheirDefaultsAndRepeatOnlyWhatWasGiven) {
  const Options options(kSpecs, {{"unit", "4KiB"}, {"prefetch", "none"}});
  EXPECT_EQ(options.text("prefetch"), "none");
  EXPECT_EQ(options.bytes("unit"), 4096u);
  EXPECT_EQ(options.count("handlers"), 1u);
  EXPECT_EQ(options.duration("deadline"), std::chrono::seconds(10));
  EXPECT_EQ(options.canonical(), "prefetch=none;unit=4KiB");
}

TEST(Options, IncludeThoseOfEveryApproach) {
  EXPECT_EQ(Options({}, {}).duration(kPlantedDelay), Nanoseconds::zero());
  const Options options(kSpecs, {{"planted_delay", "5ms"}, {"handlers", "2"}});
  EXPECT_EQ(options.duration(kPlantedDelay), std::chrono::milliseconds(5));
  EXPECT_EQ(options.canonical(), "handlers=2;planted_delay=5ms");
}

TEST(Options, SayPeerOfAnApproachWithoutABackendOption) {
  constexpr OptionSpec kWith[] = {kBackendOption};
  EXPECT_EQ(Options(kSpecs, {}).backend(), "peer");
  EXPECT_EQ(Options(kWith, {}).backend(), "peer");
  EXPECT_EQ(Options(kWith, {{"backend", "pattern"}}).backend(), "pattern");
}

TEST(Options, SayNoTlsOfAnApproachWithoutThatOption) {
  constexpr OptionSpec kWith[] = {kTlsOption};
  EXPECT_FALSE(Options(kSpecs, {}).is_inside_tls());
  EXPECT_FALSE(Options(kWith, {}).is_inside_tls());
  EXPECT_TRUE(Options(kWith, {{"tls", "on"}}).is_inside_tls());
}

std::string refusal(std::map<std::string, std::string> given) {
  try {
    const Options options(kSpecs, std::move(given));
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "";
}

TEST(Options, RefuseAnUnknownNameWithTheClosest) {
  EXPECT_EQ(refusal({{"prefetsh", "none"}}),
            "there is no option 'prefetsh' (did you mean 'prefetch'?)");
}

TEST(Options, RefuseAValueOfAnotherUnitOrChoice) {
  EXPECT_EQ(refusal({{"prefetch", "some"}}), "option 'prefetch': 'some' is none of none|window");
  EXPECT_NE(refusal({{"unit", "4096"}}), "");
  EXPECT_NE(refusal({{"deadline", "10"}}), "");
  EXPECT_NE(refusal({{"handlers", "many"}}), "");
  EXPECT_NE(refusal({{"planted_delay", "5"}}), "");
}

}  // namespace
}  // namespace memsync
