// The columns of runs.csv, declared once: the header, schema.json and `memsync list` come from
// here.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace memsync {

struct Column {
  std::string_view name;
  std::string_view type;       // string, integer, number, boolean
  std::string_view unit;       // s, B, B/s, ratio, "" ...
  std::string_view direction;  // lower, higher: what is better; "" for what is no measure
  std::string_view description;
};

inline constexpr int kSchemaVersion = 1;
std::span<const Column> columns();
bool is_number(const Column& column) noexcept;
nlohmann::json schema_json();  // {"schema_version": 1, "columns": [...]}

// One row: a value or nothing per column; nothing is an empty cell. Names are checked (assert).
class Row {
 public:
  void set(std::string_view column, std::string value);
  void set(std::string_view column, const char* value) { set(column, std::string(value)); }
  void set(std::string_view column, double value);  // a value that is not finite stays empty
  void set(std::string_view column, uint64_t value) { set(column, std::to_string(value)); }
  void set(std::string_view column, int value) { set(column, std::to_string(value)); }
  void set(std::string_view column, unsigned value) { set(column, std::to_string(value)); }
  void set(std::string_view column, bool value) { set(column, std::string(value ? "1" : "0")); }
  template <typename T>
  void set(std::string_view column, const std::optional<T>& value) {
    if (value) set(column, *value);
  }
  void clear(std::string_view column) { values_.erase(std::string(column)); }
  const std::string& get(std::string_view column) const;  // "" when empty
  std::string csv() const;                                // RFC 4180, ends in "\n"
  static Row from_csv(const std::map<std::string, std::string>& cells);

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

std::string csv_header();                        // ends in "\n"
std::string csv_field(const std::string& text);  // quoted where RFC 4180 asks for it
// Splits RFC 4180 text into records; a last record without its newline is torn and left out.
std::vector<std::vector<std::string>> parse_csv(std::string_view text);

}  // namespace memsync
