// The tables of keys, the parser and the JSON Schema say the same; and the shipped suites keep to
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "harness/suite.h"
#include "harness/suite_fakes.h"
#include "harness/suite_keys.h"

namespace memsync {
namespace {

using nlohmann::json;

std::set<std::string> keys_of(const json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

TEST(SuiteSchema, HasEachKeyOfTheTablesAndNoOther) {
  const json schema = json::parse(suite_json_schema());
  for (const KeyTable& table : key_tables()) {
    const json& object = table.name.empty() ? schema : schema["$defs"][std::string(table.name)];
    std::set<std::string> names, required;
    for (const KeySpec& key : table.keys) {
      names.insert(std::string(key.name));
      if (key.need == KeySpec::Need::required) required.insert(std::string(key.name));
      EXPECT_FALSE(key.help.empty()) << key.name;
    }
    EXPECT_EQ(keys_of(object["properties"]), names) << table.name;
    EXPECT_EQ(object["additionalProperties"], false) << table.name;
    EXPECT_EQ(object.value("required", std::set<std::string>{}), required) << table.name;
  }
}

TEST(SuiteSchema, RefersOnlyToTablesThatThereAre) {
  for (const KeyTable& table : key_tables())
    for (const KeySpec& key : table.keys) {
      const bool refers = key.kind == ValueKind::map || key.kind == ValueKind::list;
      EXPECT_TRUE(!refers || key_table(key.name).name == key.name) << key.name;
    }
}

// The smallest map of each table, without its braces' end, and what surrounds it in a suite.
struct Surroundings {
  std::string before, map, after;
};

Surroundings surroundings_of(std::string_view table, std::string_view key) {
  const std::string head = "{schema: 1, suite: s, ";
  const std::string workloads = "workloads: [{name: w, does: read, region: 1MiB}], ";
  const std::string links = "links: [{name: l}], ", approaches = "approaches: [{use: floor}]";
  if (table == "placement")
    return {head + workloads + links + approaches + ", placement: ", "", "}"};
  if (table == "exclude")
    return {head + workloads + links + approaches + ", exclude: [", "workload: w, because: x",
            "]}"};
  const std::string ours = "ours: {series: floor, workload: w, link: l, column: full_s}";
  const std::string demand = "demands: [{id: d, what: x, required: <= 1, ";
  if (table == "demands")
    return {head + workloads + links + approaches + ", demands: [",
            "id: d, what: x, required: <= 1" + (key == "ours" ? "" : ", " + ours) +
                (key == "against" || key == "limit" ? "" : ", limit: 1s"),
            "]}"};
  if (table == "ours")
    return {head + workloads + links + approaches + ", " + demand + "limit: 1s, ours: ",
            "series: floor, workload: w, link: l, column: full_s", "}]}"};
  if (table == "against")
    return {head + workloads + links + approaches + ", " + demand + ours + ", against: ", "",
            "}]}"};
  if (table == "links") return {head + workloads + approaches + ", links: [", "name: l", "]}"};
  if (table == "approaches")
    return {head + workloads + links + "approaches: [", "use: floor", "]}"};
  if (table == "writer")
    return {head + links + approaches +
                ", workloads: [{name: w, does: handover, region: 1MiB, writer: ",
            "", "}]}"};
  if (table == "workloads") {
    std::string does = "read";
    for (const KeySpec& each : key_table("workloads").keys)
      if (each.name == key && (each.workloads & kRead) == 0) does = "update";
    const std::string writer = key == "after" ? ", writer: {}" : "";
    return {head + links + approaches + ", workloads: [",
            "name: w, does: " + does + ", region: 1MiB" + writer, "]}"};
  }
  return {"", "schema: 1, suite: s, " + workloads + links + approaches, ""};
}

// `map` with `key` set to `value`, whether it was there or not.
std::string with_value(std::string map, const std::string& key, const std::string& value) {
  const std::string start = key + ": ";
  size_t at = map.starts_with(start) ? 0 : map.find(", " + start);
  if (at == std::string::npos) return map + (map.empty() ? "" : ", ") + start + value;
  at = map.find(start, at) + start.size();
  const size_t end =
      map[at] == '[' ? map.find(']', at) + 1 : std::min(map.find(',', at), map.size());
  return map.replace(at, end - at, value);
}

// Nothing is accepted and then ignored: each key's value is read, so that a bad one is refused
// there.
TEST(SuiteSchema, EachKeyOfTheTablesIsReadByTheParser) {
  for (const KeyTable& table : key_tables())
    for (const KeySpec& key : table.keys) {
      const Surroundings around = surroundings_of(table.name, key.name);
      const std::string text = around.before + "{" +
                               with_value(around.map, std::string(key.name), "' '") + "}" +
                               around.after;
      try {
        parse_suite(text, "s.yaml", described_strategies());
        ADD_FAILURE() << text << " was accepted";
      } catch (const SuiteError& problem) {
        EXPECT_THAT(problem.what(), ::testing::HasSubstr("`" + std::string(key.name) + "`"))
            << text;
      }
    }
}

TEST(SuiteSchema, ShippedSuitesAreAccepted) {
  const std::string folder = MEMSYNC_SUITES;
  const auto suites = shipped_suites(folder);
  std::set<std::string> names;
  for (const SuiteSummary& summary : suites) {
    EXPECT_EQ(summary.problem, "");
    EXPECT_FALSE(summary.question.empty()) << summary.path;
    const Suite suite = load_suite(summary.path, {}, registered_strategies());
    EXPECT_EQ(suite.name, summary.name);
    EXPECT_FALSE(suite.hypothesis.empty()) << summary.path;
    names.insert(summary.name);
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"quick", "first-chunk", "throughput"}));
}

}  // namespace
}  // namespace memsync
