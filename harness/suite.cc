#include "harness/suite.h"

#include <algorithm>
#include <fstream>
#include <sys/stat.h>
#include <system_error>

#include "harness/suite_document.h"
#include "harness/suite_fields.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

std::string place(const std::string& file, SuitePosition at) {
  if (at.line == 0) return file;
  return file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

// A sentence quotes what it refuses, which may be as long as the file.
std::string shortened(const std::string& sentence) {
  constexpr size_t kLengthMax = 600;
  if (sentence.size() <= kLengthMax) return sentence;
  size_t end = kLengthMax;
  while (end > 0 && (static_cast<unsigned char>(sentence[end]) & 0xc0) == 0x80) --end;  // UTF-8
  return sentence.substr(0, end) + "...";
}

std::string read_file(const std::string& path) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0)
    throw SuiteError(path, {}, std::generic_category().message(errno));
  if (!S_ISREG(about.st_mode)) throw SuiteError(path, {}, "no regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw SuiteError(path, {}, std::generic_category().message(errno));
  // One byte more than is allowed, so that read_document() sees that there are too many.
  std::string text(kSuiteBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw SuiteError(path, {}, "reading it failed");
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

bool is_path(const std::string& text) {
  return text.find('/') != std::string::npos || text.ends_with(".yaml") || text.ends_with(".yml");
}

std::string scalar_of(const SuiteNode& map, std::string_view key) {
  for (size_t i = 0; i < map.keys.size() && i < map.items.size(); ++i)
    if (map.keys[i].text == key && map.items[i].kind == SuiteNode::Kind::scalar)
      return map.items[i].text;
  return "";
}

}  // namespace

Placement Suite::placement_of(const ApproachSpec& approach) const {
  Placement own = placement;
  if (approach.cpu) own.destination = approach.cpu;
  return own;
}

SuiteError::SuiteError(const std::string& file, SuitePosition at, const std::string& sentence)
    : std::runtime_error(place(file, at) + ": " + shortened(sentence)) {}

Suite load_suite(const std::string& name_or_path, std::span<const std::string> folders,
                 const StrategyDirectory& known) {
  if (is_path(name_or_path)) return parse_suite(read_file(name_or_path), name_or_path, known);
  std::vector<std::string> names;
  for (const std::string& folder : folders)
    for (const SuiteSummary& suite : shipped_suites(folder)) {
      if (suite.name == name_or_path) return parse_suite(read_file(suite.path), suite.path, known);
      names.push_back(suite.name);
    }
  std::string list;
  for (const std::string& name : names) list += " " + name;
  throw SuiteError("there is no suite '" + name_or_path + "'" + did_you_mean(name_or_path, names) +
                   (list.empty() ? "" : "; there are:" + list) +
                   "; or give the path of a .yaml file");
}

std::vector<SuiteSummary> shipped_suites(const std::string& folder) {
  std::vector<SuiteSummary> suites;
  std::error_code ignored;  // a folder that isn't there has no suites
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".yaml") continue;
    SuiteSummary summary{.name = entry.path().stem().string(), .path = entry.path().string()};
    try {
      const SuiteNode root = read_document(read_file(summary.path), summary.path);
      summary.question = scalar_of(root, "question");
      if (scalar_of(root, "suite") != summary.name)
        summary.problem =
            summary.path + ": its `suite` is not '" + summary.name + "', as its file is";
    } catch (const SuiteError& problem) {
      summary.problem = problem.what();
    }
    suites.push_back(std::move(summary));
  }
  std::ranges::sort(suites, {}, &SuiteSummary::name);
  return suites;
}

}  // namespace memsync
