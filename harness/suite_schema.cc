// The grammar for editors and other programs, made from the parser's own tables.
#include <nlohmann/json.hpp>
#include <string>

#include "harness/columns.h"
#include "harness/suite.h"
#include "harness/suite_keys.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kNumber = "[0-9]+(\\.[0-9]+)? *";
constexpr const char* kByteUnits = "(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)";
constexpr const char* kLabel = "^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$";

Json pattern(const std::string& expression) {
  return {{"type", "string"}, {"pattern", expression}};
}

Json quantity(const std::string& units) {
  return pattern("^" + std::string(kNumber) + units + "$");
}

Json either(Json one, Json other) {
  return {{"anyOf", Json::array({std::move(one), std::move(other)})}};
}

Json constant(Json value) {
  return {{"const", std::move(value)}};
}

Json choice(std::string_view choices) {
  Json values = Json::array();
  while (!choices.empty()) {
    const size_t bar = choices.find('|');
    values.push_back(choices.substr(0, bar));
    choices = bar == std::string_view::npos ? std::string_view{} : choices.substr(bar + 1);
  }
  return {{"enum", values}};
}

Json column_names() {
  Json names = Json::array();
  for (const Column& column : columns())
    if (is_number(column)) names.push_back(column.name);
  return {{"enum", names}};
}

Json whole_number(const KeySpec& key) {
  Json schema = {{"type", "integer"}, {"minimum", 0}};
  if (!key.at_least.empty()) schema["minimum"] = parse_count(key.at_least);
  if (!key.at_most.empty()) schema["maximum"] = parse_count(key.at_most);
  return schema;
}

Json object_of(const KeyTable& table);

Json value_schema(const KeySpec& key) {
  switch (key.kind) {
    case ValueKind::text:
      return pattern("\\S");
    case ValueKind::suite_name:
      return pattern("^[A-Za-z0-9-]{1,64}$");
    // A label of digits alone is a number to YAML.
    case ValueKind::label:
      return either(pattern(kLabel), {{"type", "number"}, {"minimum", 0}});
    case ValueKind::labels: {
      const std::string label = "[A-Za-z0-9][A-Za-z0-9._+-]{0,63}";
      return either(pattern("^" + label + "([|]" + label + ")*$"),
                    {{"type", "number"}, {"minimum", 0}});
    }
    case ValueKind::count:
      return whole_number(key);
    case ValueKind::bytes:
      return quantity(kByteUnits);
    case ValueKind::duration:
      return quantity("(ns|us|ms|s|min|h)");
    case ValueKind::bit_rate:
      return either(constant("unlimited"), quantity("(bit/s|kbit/s|Mbit/s|Gbit/s)"));
    case ValueKind::byte_rate:
      return quantity("(B/s|kB/s|MB/s|GB/s|KiB/s|MiB/s|GiB/s)");
    case ValueKind::ratio:
      return key.at_least == "0" ? either(constant(0), quantity("%")) : quantity("%");
    case ValueKind::queue:
      return either(constant("auto"), quantity(kByteUnits));
    case ValueKind::cpu:
      return either(constant("any"), {{"type", "integer"}, {"minimum", 0}, {"maximum", 4095}});
    case ValueKind::choice:
      return choice(key.choices);
    case ValueKind::content:
      return pattern("^(random|zero|text|file:.+)$");
    case ValueKind::access:
      return pattern("^(sequential|random|zipf:[0-9]+(\\.[0-9]+)?|stride:" + std::string(kNumber) +
                     kByteUnits + "|trace:.+)$");
    case ValueKind::approach:
      return either(pattern("^(peer:)?" + std::string(kLabel).substr(1)),
                    {{"type", "number"}, {"minimum", 0}});
    case ValueKind::column:
      return column_names();
    case ValueKind::formula:
      return either(pattern("\\S"), {{"type", "number"}});
    case ValueKind::bound:
      return pattern("^(>=|<=|>|<) *" + std::string(kNumber) + "$");
    case ValueKind::map:
      return {{"$ref", "#/$defs/" + std::string(key.name)}};
    case ValueKind::list:
      return {{"type", "array"},
              {"minItems", 1},
              {"maxItems", 1000},
              {"items", {{"$ref", "#/$defs/" + std::string(key.name)}}}};
    case ValueKind::options:
      return {{"type", "object"},
              {"additionalProperties", {{"type", Json::array({"string", "number", "boolean"})}}}};
  }
  return {};
}

// Help, limits and default in words; the default as a value too, where there is one.
Json described(const KeySpec& key) {
  Json schema = value_schema(key);
  std::string words(key.help);
  const bool is_count = key.kind == ValueKind::count;
  if (!is_count && !key.at_least.empty()) words += "; at least " + std::string(key.at_least);
  if (!is_count && !key.at_most.empty()) words += "; at most " + std::string(key.at_most);
  schema["description"] = words;
  if (key.default_value.empty()) return schema;
  if (is_count)
    schema["default"] = parse_count(key.default_value);
  else if (key.kind == ValueKind::ratio && key.default_value == "0")
    schema["default"] = 0;
  else
    schema["default"] = key.default_value;
  return schema;
}

// A key that does not belong to a kind of workload is refused there.
Json foreign_keys(std::string_view does, unsigned mask) {
  Json then = Json::object();
  for (const KeySpec& key : key_table("workloads").keys)
    if ((key.workloads & mask) == 0) then["properties"][std::string(key.name)] = false;
  return {{"if", {{"properties", {{"does", constant(std::string(does))}}}}}, {"then", then}};
}

Json neither_both(const char* one, const char* other) {
  return {{"not", {{"required", Json::array({one, other})}}}};
}

// What a table of keys alone can't say.
void add_conditions(const KeyTable& table, Json& schema) {
  if (table.name == "links")
    schema["anyOf"] = Json::array({{{"required", {"name"}}}, {{"required", {"use"}}}});
  if (table.name == "exclude")
    schema["anyOf"] = Json::array(
        {{{"required", {"approach"}}}, {{"required", {"workload"}}}, {{"required", {"link"}}}});
  if (table.name == "demands")
    schema["oneOf"] = Json::array({{{"required", {"against"}}}, {{"required", {"limit"}}}});
  if (table.name == "against") schema["minProperties"] = 1;
  if (table.name == "workloads")
    schema["allOf"] =
        Json::array({foreign_keys("read", kRead), foreign_keys("update", kUpdate),
                     foreign_keys("handover", kHandover), neither_both("accesses", "for"),
                     neither_both("threads", "for"), neither_both("dirty", "writer")});
}

Json object_of(const KeyTable& table) {
  Json schema = {{"type", "object"},
                 {"description", table.help},
                 {"additionalProperties", false},
                 {"required", Json::array()},
                 {"properties", Json::object()}};
  for (const KeySpec& key : table.keys) {
    schema["properties"][std::string(key.name)] = described(key);
    if (key.need == KeySpec::Need::required) schema["required"].push_back(key.name);
  }
  if (schema["required"].empty()) schema.erase("required");
  add_conditions(table, schema);
  return schema;
}

}  // namespace

std::string suite_json_schema() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "memsync suite"}};
  schema.update(object_of(key_table("")));
  for (const KeyTable& table : key_tables())
    if (!table.name.empty()) schema["$defs"][std::string(table.name)] = object_of(table);
  return schema.dump(2) + "\n";
}

}  // namespace memsync
