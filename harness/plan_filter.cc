#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "harness/plan.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

// Whether `text` matches `pattern`, where * stands for any characters. Remembers only the last
// star, so that time is bounded by the product of the lengths.
bool matches_pattern(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<std::string> values_of(const Suite& suite, const std::string& key) {
  std::vector<std::string> values;
  for (const ApproachSpec& approach : suite.approaches) {
    if (key == "series") values.push_back(approach.as);
    if (key == "approach") values.push_back(approach.use);
  }
  if (key == "workload")
    for (const Workload& workload : suite.workloads) values.push_back(workload.name);
  if (key == "link")
    for (const LinkSpec& link : suite.links) values.push_back(link.name);
  return values;
}

[[noreturn]] void refuse(const std::string& sentence) {
  throw SuiteError("filter: " + sentence);
}

void check_term(const Suite& suite, const std::string& key, const std::string& pattern) {
  static const std::vector<std::string> keys = {"series", "approach", "workload", "link"};
  if (std::ranges::find(keys, key) == keys.end())
    refuse("'" + key + "' is none of series, approach, workload, link" + did_you_mean(key, keys));
  const std::vector<std::string> values = values_of(suite, key);
  if (std::ranges::any_of(
          values, [&](const std::string& value) { return matches_pattern(pattern, value); }))
    return;
  std::string list;
  for (const std::string& value : values) list += " " + value;
  refuse("no " + key + " matches '" + pattern + "'" + did_you_mean(pattern, values) +
         "; there are:" + list);
}

}  // namespace

CellFilter::CellFilter(const Suite& suite, const std::string& expression) {
  size_t start = 0;
  while (start < expression.size()) {
    const size_t end = std::min(expression.find(',', start), expression.size());
    const std::string term = expression.substr(start, end - start);
    const size_t equals = term.find('=');
    if (equals == std::string::npos)
      refuse("'" + term + "' is no term: KEY=PATTERN, like link=lan or series=uffd-*");
    terms_.push_back({term.substr(0, equals), term.substr(equals + 1)});
    check_term(suite, terms_.back().key, terms_.back().pattern);
    start = end + 1;
  }
}

bool CellFilter::matches(const Suite& suite, const Cell& cell) const {
  return std::ranges::all_of(terms_, [&](const Term& term) {
    const std::string& value = term.key == "series"     ? suite.approaches[cell.approach].as
                               : term.key == "approach" ? suite.approaches[cell.approach].use
                               : term.key == "workload" ? suite.workloads[cell.workload].name
                                                        : suite.links[cell.link].name;
    return matches_pattern(term.pattern, value);
  });
}

}  // namespace memsync
