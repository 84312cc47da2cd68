// The options of the approach: what they mean, and which of them are refused with a sentence.
#include "approaches/userfaultfd/settings.h"

#include <gtest/gtest.h>
#include <stdexcept>

namespace memsync::userfaultfd {
namespace {

using Given = std::map<std::string, std::string>;

std::string refusal(const Given& given) {
  try {
    settings_from(Options(option_specs(), given));
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "";
}

TEST(Settings, OfNoOptionsAreTheDefaultsInTheCode) {
  const Settings settings = settings_from(Options(option_specs(), {}));
  const Settings defaults;
  EXPECT_EQ(settings.prefetch, defaults.prefetch);
  EXPECT_EQ(settings.unit_bytes, defaults.unit_bytes);
  EXPECT_EQ(settings.window_bytes, defaults.window_bytes);
  EXPECT_EQ(settings.deadline, defaults.deadline);
  EXPECT_EQ(settings.around_bytes, defaults.around_bytes);
  EXPECT_EQ(settings.is_background, defaults.is_background);
  EXPECT_EQ(settings.is_eager, defaults.is_eager);
}

TEST(Settings, NameEachPolicy) {
  const std::map<std::string, Prefetch> policies{
      {"none", Prefetch::none},   {"around", Prefetch::around}, {"window", Prefetch::window},
      {"trend", Prefetch::trend}, {"trace", Prefetch::trace},   {"priority", Prefetch::priority}};
  for (const auto& [name, policy] : policies) {
    Given given{{"prefetch", name}, {"background", "on"}};
    if (policy == Prefetch::priority) given["first"] = "0+1B";
    const Settings settings = settings_from(Options(option_specs(), given));
    EXPECT_EQ(settings.prefetch, policy) << name;
    EXPECT_TRUE(settings.is_background);
  }
}

TEST(Settings, ReadTheRangesOfFirst) {
  EXPECT_EQ(parse_ranges("0+64KiB;60MiB+1MiB"),
            (std::vector<ByteRange>{{0, 64 << 10}, {60 << 20, 1 << 20}}));
}

TEST(Settings, RefuseNonsenseWithASentenceThatNamesTheOption) {
  const std::vector<std::pair<Given, std::string>> cases{
      {{{"prefetch", "clever"}}, "option 'prefetch'"},
      {{{"background", "yes"}}, "option 'background'"},
      {{{"prefetch", "around"}, {"around", "3MiB"}}, "option 'around': 3MiB is no power of two"},
      {{{"prefetch", "around"}, {"around", "4KiB"}}, "option 'around'"},
      {{{"prefetch", "around"}, {"around", "2GiB"}}, "option 'around'"},
      {{{"prefetch", "priority"}}, "option 'first': it is empty"},
      {{{"first", "0+1MiB"}}, "option 'first': it is of use with prefetch: priority only"},
      {{{"prefetch", "priority"}, {"first", "0"}}, "option 'first': '0' is no range"},
      {{{"prefetch", "priority"}, {"first", "0+0B"}}, "option 'first': '0+0B' is empty"},
      {{{"prefetch", "priority"}, {"first", "0+64KiB;"}}, "option 'first': '' is no range"},
      {{{"prefetch", "priority"}, {"first", "5+64KiB"}}, "option 'first'"},
      {{{"prefetch", "priority"}, {"first", "-1B+64KiB"}}, "option 'first'"},
      {{{"prefetch", "priority"}, {"first", "17179869183GiB+1GiB"}}, "option 'first'"},
      {{{"prefetch", "trace"}, {"trace", ""}}, "option 'trace': it is empty"},
  };
  for (const auto& [given, sentence] : cases)
    EXPECT_NE(refusal(given).find(sentence), std::string::npos)
        << sentence << " / got: " << refusal(given);
  std::string many = "0+1B";
  for (int i = 0; i < 64; ++i) many += ";0+1B";
  EXPECT_NE(refusal({{"prefetch", "priority"}, {"first", many}}).find("more than 64"),
            std::string::npos);
}

}  // namespace
}  // namespace memsync::userfaultfd
