#include <algorithm>
#include <charconv>
#include <cmath>

#include "harness/columns.h"
#include "harness/suite_parser.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

constexpr size_t kDemandsMax = 1000;

template <typename Item>
std::vector<std::string> names_of(const std::vector<Item>& items, std::string Item::* name) {
  std::vector<std::string> names;
  for (const Item& item : items) names.push_back(item.*name);
  return names;
}

// What is not written is as in `preset`.
MeasuredCell read_cell(const Suite& suite, const Fields& fields, const MeasuredCell& preset) {
  check_name(fields, "series", names_of(suite.approaches, &ApproachSpec::as));
  check_name(fields, "workload", names_of(suite.workloads, &Workload::name));
  check_name(fields, "link", names_of(suite.links, &LinkSpec::name));
  const auto value = [&](std::string_view key, const std::string& otherwise) {
    return fields.has(key) ? fields.text(key) : otherwise;
  };
  return {value("series", preset.series), value("workload", preset.workload),
          value("link", preset.link), value("column", preset.column)};
}

std::string_view unit_of(std::string_view column) {
  return std::ranges::find(columns(), column, &Column::name)->unit;  // read_cell() found it there
}

// ">= 0.6" as its parts.
void read_bound(const Fields& fields, Demand& demand) {
  demand.required = fields.text("required");
  const std::string& text = demand.required;
  for (const char* comparison : {">=", "<=", ">", "<"})
    if (demand.comparison.empty() && text.starts_with(comparison)) demand.comparison = comparison;
  const size_t start = std::min(text.find_first_not_of(' ', demand.comparison.size()), text.size());
  const auto [end, error] = std::from_chars(text.data() + start, text.data() + text.size(),
                                            demand.bound, std::chars_format::fixed);
  if (demand.comparison.empty() || error != std::errc{} || end != text.data() + text.size() ||
      !std::isfinite(demand.bound) || demand.bound < 0)
    fields.refuse("required", "'" + text + "' is no demand: one of >= <= > < and a number");
}

void read_other_side(const SuiteSource& source, const Suite& suite, const Fields& fields,
                     Demand& demand) {
  const SuiteNode* against = fields.given("against");
  if ((against != nullptr) == fields.has("limit"))
    fields.refuse(against ? "limit" : "against", "either `against` or `limit`: one of the two");
  if (!against) {
    demand.limit = fields.formula("limit");
    return;
  }
  const Fields other(source.file, *against, key_table("against"));
  demand.against = read_cell(suite, other, demand.ours);
  const auto& [series, workload, link, column] = *demand.against;
  if (unit_of(column) != unit_of(demand.ours.column))
    other.refuse("column", column + " and " + demand.ours.column + " have different units");
  if (series == demand.ours.series && workload == demand.ours.workload &&
      link == demand.ours.link && column == demand.ours.column)
    fields.refuse("against", "that is `ours` itself: name what differs");
}

Demand read_demand(const SuiteSource& source, const Suite& suite, const SuiteNode& node) {
  const Fields fields(source.file, node, key_table("demands"));
  Demand demand;
  demand.at = fields.at();
  demand.id = fields.text("id");
  demand.what = fields.text("what");
  demand.ours = read_cell(suite, Fields(source.file, *fields.given("ours"), key_table("ours")), {});
  read_other_side(source, suite, fields, demand);
  read_bound(fields, demand);
  demand.pairs = fields.count("pairs");
  return demand;
}

}  // namespace

std::vector<Demand> parse_demands(const SuiteSource& source, const Suite& suite,
                                  const SuiteNode& list) {
  if (list.items.size() > kDemandsMax)
    throw SuiteError(source.file, list.at,
                     "`demands`: more than " + std::to_string(kDemandsMax) + " items");
  std::vector<Demand> demands;
  for (const SuiteNode& node : list.items) {
    Demand demand = read_demand(source, suite, node);
    const auto same = std::ranges::find(demands, demand.id, &Demand::id);
    if (same != demands.end())
      throw SuiteError(source.file, demand.at,
                       "there are two demands named '" + demand.id + "', the first in line " +
                           std::to_string(same->at.line));
    demands.push_back(std::move(demand));
  }
  return demands;
}

}  // namespace memsync
