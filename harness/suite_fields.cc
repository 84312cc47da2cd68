#include "harness/suite_fields.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <stdexcept>

#include "approaches/peer.h"
#include "harness/columns.h"
#include "harness/suite_formula.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string suite_name_problem(const std::string& text) {
  const bool fits =
      std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-'; });
  if (fits && !text.empty() && text.size() <= 64) return "";
  return "'" + text + "' is no name of a suite: 1 to 64 letters, digits, dashes";
}

// Labels become cells of CSV files and parts of cell ids, so nothing in them may mean anything
// there, and none may be a word that a reader of CSV takes for a missing value.
std::string label_problem(const std::string& text) {
  const bool fits = std::ranges::all_of(text, [](char c) {
    return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.' || c == '+';
  });
  if (!fits || text.empty() || text.size() > 64 || !is_letter_or_digit(text[0]))
    return "'" + text +
           "' is no label: 1 to 64 letters, digits, - _ . +, the first a letter or digit";
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  for (const char* word : {"null", "none", "nan", "na", "nil"})
    if (lower == word)
      return "'" + text + "' is no label: readers of CSV take it for a missing value";
  return "";
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return parts;
}

std::string labels_problem(const std::string& text) {
  if (text.empty() || text.ends_with('|')) return "'" + text + "' ends where a label should follow";
  for (const std::string& label : split(text, '|'))
    if (std::string problem = label_problem(label); !problem.empty()) return problem;
  return "";
}

std::string approach_problem(const std::string& text) {
  return label_problem(is_peer(text) ? std::string(peer_name(text)) : text);
}

std::string column_problem(const std::string& text) {
  std::vector<std::string> names;
  for (const Column& column : columns())
    if (is_number(column)) names.emplace_back(column.name);
  if (std::ranges::find(names, text) != names.end()) return "";
  return "runs.csv has no column '" + text + "' of numbers" + did_you_mean(text, names);
}

double parse_theta(std::string_view text) {
  double theta = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), theta, std::chars_format::fixed);
  const bool is_number = error == std::errc{} && end == text.data() + text.size();
  if (!is_number || !(theta > 0 && theta < 5))
    throw std::invalid_argument("'" + std::string(text) +
                                "' is no theta of zipf: a number above 0 and below 5");
  return theta;
}

// The value of a quantity in its base unit: bytes, nanoseconds, bits per second, shares.
double parse_quantity(ValueKind kind, const std::string& text) {
  switch (kind) {
    case ValueKind::count:
      return static_cast<double>(parse_count(text));
    case ValueKind::bytes:
    case ValueKind::queue:
      return static_cast<double>(parse_bytes(text));
    case ValueKind::duration:
      return static_cast<double>(parse_duration(text).count());
    case ValueKind::bit_rate:
      return static_cast<double>(parse_bit_rate(text));
    case ValueKind::byte_rate:
      return static_cast<double>(parse_byte_rate(text));
    case ValueKind::ratio:
      return parse_ratio(text);
    default:
      break;
  }
  assert(false);  // only quantities have limits
  return 0;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

AccessSpec parse_access(std::string_view text) {
  AccessSpec access;
  access.text = std::string(text);
  const size_t colon = text.find(':');
  const std::string_view order = text.substr(0, colon);
  const bool has_argument = colon != std::string_view::npos;
  const std::string_view argument = has_argument ? text.substr(colon + 1) : std::string_view{};
  if (text == "sequential") return access;
  if (text == "random") {
    access.order = AccessOrder::random;
  } else if (order == "zipf" && has_argument) {
    access.order = AccessOrder::zipf;
    access.theta = parse_theta(argument);
  } else if (order == "stride" && has_argument) {
    access.order = AccessOrder::stride;
    access.stride_bytes = parse_bytes(argument);
    if (access.stride_bytes == 0) throw std::invalid_argument("a stride of 0 B never moves");
  } else if (order == "trace" && has_argument && !argument.empty()) {
    access.order = AccessOrder::trace;
    access.trace_path = std::string(argument);
  } else {
    throw std::invalid_argument("'" + access.text +
                                "' is no order of accesses: sequential, random, zipf:THETA, "
                                "stride:BYTES or trace:PATH");
  }
  return access;
}

Fields::Fields(const std::string& file, const SuiteNode& node, const KeyTable& table)
    : file_(file), node_(node), table_(table) {
  if (node.kind != SuiteNode::Kind::map) {
    std::string names;
    for (const KeySpec& key : table.keys)
      names += (names.empty() ? "" : ", ") + std::string(key.name);
    throw SuiteError(
        file, node.at,
        (table.name.empty() ? "a suite" : "each of `" + std::string(table.name) + "`") +
            " is a map with keys of: " + names);
  }
  check_keys();
}

void Fields::check_keys() const {
  std::vector<std::string> names;
  for (const KeySpec& key : table_.keys) names.emplace_back(key.name);
  for (size_t i = 0; i < node_.keys.size(); ++i) {
    const SuiteNode& key = node_.keys[i];
    const auto known = std::ranges::find(table_.keys, key.text, &KeySpec::name);
    if (known == table_.keys.end())
      throw SuiteError(file_, key.at,
                       "there is no key '" + key.text + "' here" + did_you_mean(key.text, names));
    for (size_t before = 0; before < i; ++before)
      if (node_.keys[before].text == key.text)
        throw SuiteError(file_, key.at,
                         "key '" + key.text + "' is given twice, first in line " +
                             std::to_string(node_.keys[before].at.line));
    check_value_form(*known, node_.items[i]);
  }
  for (const KeySpec& key : table_.keys)
    if (key.need == KeySpec::Need::required && !has(key.name))
      throw SuiteError(file_, node_.at,
                       "key '" + std::string(key.name) + "' is missing: " + std::string(key.help));
}

void Fields::check_value_form(const KeySpec& key, const SuiteNode& value) const {
  const std::string name = "`" + std::string(key.name) + "`";
  const auto refuse_form = [&](const std::string& form) {
    throw SuiteError(file_, value.at, name + " is " + form);
  };
  if (value.kind == SuiteNode::Kind::nothing)
    throw SuiteError(file_, value.at, name + " has no value (a word like null needs quotes)");
  switch (key.kind) {
    case ValueKind::map:
    case ValueKind::options:
      if (value.kind != SuiteNode::Kind::map) refuse_form("a map, like {key: value}");
      return;
    case ValueKind::list:
      if (value.kind != SuiteNode::Kind::list)
        refuse_form("a list, one item per line behind a dash");
      if (value.items.empty()) refuse_form("empty: at least one item");
      return;
    default:
      if (value.kind != SuiteNode::Kind::scalar) refuse_form("a single value");
  }
}

const KeySpec& Fields::spec(std::string_view key) const {
  const auto found = std::ranges::find(table_.keys, key, &KeySpec::name);
  assert(found != table_.keys.end());  // the parser asks for keys of the table only
  return *found;
}

const SuiteNode* Fields::given(std::string_view key) const {
  for (size_t i = 0; i < node_.keys.size(); ++i)
    if (node_.keys[i].text == key) return &node_.items[i];
  return nullptr;
}

SuitePosition Fields::at(std::string_view key) const {
  const SuiteNode* value = given(key);
  return value ? value->at : node_.at;
}

void Fields::refuse(std::string_view key, const std::string& sentence) const {
  throw SuiteError(file_, at(key), "`" + std::string(key) + "`: " + sentence);
}

std::vector<std::string> Fields::labels(std::string_view key) const {
  return has(key) ? split(text(key), '|') : std::vector<std::string>();
}

std::string Fields::text(std::string_view key) const {
  const KeySpec& about = spec(key);
  const SuiteNode* value = given(key);
  const auto preset = defaults_.find(key);
  if (!value) return std::string(preset != defaults_.end() ? preset->second : about.default_value);
  std::string problem;
  if (about.kind == ValueKind::suite_name) problem = suite_name_problem(value->text);
  if (about.kind == ValueKind::label) problem = label_problem(value->text);
  if (about.kind == ValueKind::labels) problem = labels_problem(value->text);
  if (about.kind == ValueKind::approach) problem = approach_problem(value->text);
  if (about.kind == ValueKind::column) problem = column_problem(value->text);
  if (about.kind == ValueKind::text &&
      value->text.find_first_not_of(" \t\r\n") == std::string::npos)
    problem = "no words";
  if (about.kind == ValueKind::choice) {
    const auto choices = split(about.choices, '|');
    if (std::ranges::find(choices, value->text) == choices.end())
      problem = "'" + value->text + "' is none of " + joined(choices) +
                did_you_mean(value->text, choices);
  }
  if (!problem.empty()) refuse(key, problem);
  return value->text;
}

void Fields::check_limits(const KeySpec& key, double value, const std::string& text) const {
  const auto limit = [&](std::string_view written) {
    return parse_quantity(key.kind, std::string(written));
  };
  if (!key.at_least.empty() && value < limit(key.at_least))
    refuse(key.name, text + " is too small: at least " + std::string(key.at_least));
  if (!key.at_most.empty() && value > limit(key.at_most))
    refuse(key.name, text + " is too large: at most " + std::string(key.at_most));
}

uint64_t Fields::number(std::string_view key) const {
  const KeySpec& about = spec(key);
  const std::string written = text(key);
  try {
    check_limits(about, parse_quantity(about.kind, written), written);
    if (about.kind == ValueKind::count) return parse_count(written);
    return static_cast<uint64_t>(parse_quantity(about.kind, written));
  } catch (const std::invalid_argument& problem) {
    refuse(key, problem.what());
  }
}

double Fields::ratio(std::string_view key) const {
  const std::string written = text(key);
  try {
    if (written == "0" && spec(key).at_least != "0")
      throw std::invalid_argument("'0' is bare: write 0%");
    const double value = parse_ratio(written);
    check_limits(spec(key), value, written);
    return value;
  } catch (const std::invalid_argument& problem) {
    refuse(key, problem.what());
  }
}

std::optional<uint64_t> Fields::bit_rate(std::string_view key) const {
  if (text(key) == "unlimited") return std::nullopt;
  return number(key);
}

std::optional<uint64_t> Fields::queue(std::string_view key) const {
  if (text(key) == "auto") return std::nullopt;
  return number(key);
}

std::optional<unsigned> Fields::cpu(std::string_view key) const {
  constexpr uint64_t kCpusMax = 4096;
  const std::string written = text(key);
  if (written == "any") return std::nullopt;
  try {
    const uint64_t number = parse_count(written);
    if (number < kCpusMax) return static_cast<unsigned>(number);
  } catch (const std::invalid_argument&) {
    refuse(key, "'" + written + "' is no CPU: any, or its number from 0 on");
  }
  refuse(key, written + " is too large: at most " + std::to_string(kCpusMax - 1));
}

AccessSpec Fields::access(std::string_view key) const {
  try {
    return parse_access(text(key));
  } catch (const std::invalid_argument& problem) {
    refuse(key, problem.what());
  }
}

std::string Fields::formula(std::string_view key) const {
  try {
    return checked_formula(text(key));
  } catch (const std::invalid_argument& problem) {
    refuse(key, problem.what());
  }
}

}  // namespace memsync
