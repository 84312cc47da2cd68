// Arrows point one way: plots <- results <- harness -> {approaches, netem} -> lib, and inside lib
// os <- region <- {detection, backend <- transport}. This test reads the includes and holds it.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

// The room of a path from the repository's root: "lib/os", "approaches/userfaultfd", "approaches"
// for its own headers, "harness" ...
std::string room_of(const std::string& path) {
  const size_t first = path.find('/');
  std::string top = path.substr(0, first);
  if (top != "lib" && top != "approaches") return top;
  const size_t second = path.find('/', first + 1);
  return second == std::string::npos ? top : path.substr(0, second);
}

bool may_include(const std::string& from, const std::string& into) {
  static const std::map<std::string, std::set<std::string>> kAllowed = {
      {"lib/os", {"lib/os"}},
      {"lib/region", {"lib/os", "lib/region"}},
      {"lib/detection", {"lib/os", "lib/region", "lib/detection"}},
      {"lib/backend", {"lib/os", "lib/region", "lib/backend"}},
      {"lib/transport", {"lib/os", "lib/region", "lib/backend", "lib/transport"}},
      {"netem", {"lib/os", "lib/region", "netem"}},
      {"approaches",
       {"lib/os", "lib/region", "lib/detection", "lib/backend", "lib/transport", "approaches"}},
  };
  if (from == "harness" || from == "tests") return true;
  if (from.starts_with("approaches/")) return into == from || may_include("approaches", into);
  const auto rule = kAllowed.find(from);
  return rule != kAllowed.end() && rule->second.contains(into);
}

struct Include {
  std::string from, into;
};

std::vector<Include> repository_includes() {
  const fs::path root = MEMSYNC_SOURCE_FOLDER;
  const std::regex line_form(R"re(^\s*#\s*include\s*"([^"]+)")re");
  std::vector<Include> includes;
  for (const char* top : {"lib", "approaches", "netem", "harness", "tests"})
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cc") continue;
      std::ifstream file(entry.path());
      std::smatch match;
      for (std::string line; std::getline(file, line);)
        if (std::regex_search(line, match, line_form) &&
            !match[1].str().ends_with(".pb.h"))  // generated
          includes.push_back({fs::relative(entry.path(), root).string(), match[1]});
    }
  return includes;
}

TEST(Arrows, PointOneWay) {
  const auto includes = repository_includes();
  ASSERT_GT(includes.size(), 50u) << "the test did not find the sources";
  for (const auto& [from, into] : includes)
    EXPECT_TRUE(may_include(room_of(from), room_of(into))) << from << " includes " << into;
}

TEST(Arrows, AreNamedFromTheRootOfTheRepository) {
  for (const auto& [from, into] : repository_includes()) {
    const bool generated = into.ends_with(".inc");
    EXPECT_TRUE(generated || fs::exists(fs::path(MEMSYNC_SOURCE_FOLDER) / into))
        << from << " includes " << into;
  }
}

TEST(Arrows, AgainstTheDirectionAreFound) {
  EXPECT_FALSE(may_include("lib/os", "lib/region"));
  EXPECT_FALSE(may_include("lib/backend", "lib/transport"));
  EXPECT_FALSE(may_include("lib/region", "lib/detection"));
  EXPECT_FALSE(may_include("lib/detection", "lib/backend"));
  EXPECT_FALSE(may_include("approaches/userfaultfd", "approaches/baselines"));
  EXPECT_FALSE(may_include("approaches/userfaultfd", "harness"));
  EXPECT_FALSE(may_include("netem", "approaches"));
  EXPECT_TRUE(may_include("approaches/userfaultfd", "approaches"));
  EXPECT_EQ(room_of("approaches/userfaultfd/pager.h"), "approaches/userfaultfd");
  EXPECT_EQ(room_of("approaches/options.h"), "approaches");
}

}  // namespace
