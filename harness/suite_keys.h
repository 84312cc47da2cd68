// The keys of a suite: one table per kind of map, from which the parser, the JSON Schema and the
// help are made. A key that is not here does not exist.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace memsync {

enum class ValueKind : uint8_t {
  text,        // any words
  suite_name,  // letters, digits, dashes
  label,       // letters, digits, - _ . +
  labels,      // one or more of them: a|b
  count,       // bare whole number
  bytes,       // 64MiB
  duration,    // 5ms
  bit_rate,    // 1Gbit/s, unlimited
  byte_rate,   // 20MiB/s
  ratio,       // 1%; 0 too where `at_least` is a bare 0
  queue,       // auto, or bytes
  cpu,         // any, or the number of a CPU
  choice,      // one of `choices`
  content,     // random, zero, text, file:PATH
  access,      // sequential, random, zipf:THETA, stride:BYTES, trace:PATH
  map,         // of the table that bears this key's name
  list,        // of such maps, at least one
  options,     // map of an approach's options
  approach,    // a label, or peer: and a label
  column,      // of runs.csv, holding numbers
  formula,     // of numbers, quantities and columns
  bound,       // a comparison and a number: >= 0.6
};

// Which workloads a key belongs to; the others refuse it.
inline constexpr unsigned kRead = 1, kUpdate = 2, kHandover = 4, kAnyWorkload = 7;

struct KeySpec {
  std::string_view name;
  ValueKind kind;
  std::string_view help;                // one line
  std::string_view default_value = {};  // read like a written value; "": see `need` and the help
  enum class Need : uint8_t { optional, required } need = Need::optional;
  std::string_view at_least = {};  // of a quantity, written like one
  std::string_view at_most = {};
  std::string_view choices = {};  // separated by '|'
  unsigned workloads = kAnyWorkload;
};

struct KeyTable {
  std::string_view name;  // "" for the suite itself, else the key whose maps it describes
  std::string_view help;
  std::span<const KeySpec> keys;
};

std::span<const KeyTable> key_tables() noexcept;
// The table of that name; it is there (assert).
const KeyTable& key_table(std::string_view name) noexcept;

}  // namespace memsync
