// One map of a suite, checked against its table of keys and read through it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "harness/suite.h"
#include "harness/suite_document.h"
#include "harness/suite_keys.h"

namespace memsync {

// An access's text as its parts; the trace isn't opened yet. Throws std::invalid_argument.
AccessSpec parse_access(std::string_view text);

// Reads each key's value as its table's kind, within its table's limits; an absent key reads as its
// default. Refuses by SuiteError at the place of what is wrong. Threads: one.
class Fields {
 public:
  // Refuses what isn't a map, unknown and duplicate keys, keys without value, missing ones.
  // `file` and `node` outlive the result.
  Fields(const std::string& file, const SuiteNode& node, const KeyTable& table);

  bool has(std::string_view key) const { return given(key) != nullptr; }
  // Makes `value` the default of a key from here on.
  void set_default(std::string_view key, std::string_view value) { defaults_[key] = value; }

  // The value, or the default: text, names, labels, choices.
  std::string text(std::string_view key) const;
  std::vector<std::string> labels(std::string_view key) const;  // none where it isn't given
  uint64_t count(std::string_view key) const { return number(key); }
  uint64_t bytes(std::string_view key) const { return number(key); }
  uint64_t byte_rate(std::string_view key) const { return number(key); }
  Nanoseconds duration(std::string_view key) const {
    return Nanoseconds(static_cast<int64_t>(number(key)));
  }
  double ratio(std::string_view key) const;
  std::optional<uint64_t> bit_rate(std::string_view key) const;  // empty: unlimited
  std::optional<uint64_t> queue(std::string_view key) const;     // empty: auto
  std::optional<unsigned> cpu(std::string_view key) const;       // empty: any
  AccessSpec access(std::string_view key) const;
  std::string formula(std::string_view key) const;  // in SI units
  // The node behind a key of kind map, list or options; nullptr when absent.
  const SuiteNode* given(std::string_view key) const;

  SuitePosition at(std::string_view key) const;  // of its value; of the map when absent
  SuitePosition at() const { return node_.at; }
  [[noreturn]] void refuse(std::string_view key, const std::string& sentence) const;

 private:
  const KeySpec& spec(std::string_view key) const;
  void check_keys() const;
  void check_value_form(const KeySpec& key, const SuiteNode& value) const;
  uint64_t number(std::string_view key) const;
  void check_limits(const KeySpec& key, double value, const std::string& text) const;

  const std::string& file_;
  const SuiteNode& node_;
  const KeyTable& table_;
  std::map<std::string_view, std::string_view> defaults_;
};

}  // namespace memsync
