#include "lib/region/quantity.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <vector>

namespace memsync {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr Unit kByteUnits[] = {{"B", 1},           {"kB", 1e3},           {"MB", 1e6},
                               {"GB", 1e9},        {"TB", 1e12},          {"KiB", 1024.0},
                               {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}};
constexpr Unit kTimeUnits[] = {{"ns", 1},  {"us", 1e3},   {"ms", 1e6},
                               {"s", 1e9}, {"min", 6e10}, {"h", 3.6e12}};
constexpr Unit kBitRateUnits[] = {{"bit/s", 1}, {"kbit/s", 1e3}, {"Mbit/s", 1e6}, {"Gbit/s", 1e9}};
constexpr Unit kByteRateUnits[] = {
    {"B/s", 1},        {"kB/s", 1e3},        {"MB/s", 1e6},          {"GB/s", 1e9},
    {"KiB/s", 1024.0}, {"MiB/s", 1048576.0}, {"GiB/s", 1073741824.0}};

[[noreturn]] void refuse(std::string_view text, const char* what, std::span<const Unit> units) {
  std::string names;
  for (const Unit& unit : units) names += (names.empty() ? "" : " ") + std::string(unit.name);
  throw std::invalid_argument("'" + std::string(text) + "' is no " + what +
                              ": write a number and one of " + names);
}

// The number and its unit's factor, multiplied; at most 2^63.
double parse_with_unit(std::string_view text, const char* what, std::span<const Unit> units) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) refuse(text, what, units);
  std::string_view rest(end, static_cast<size_t>(text.data() + text.size() - end));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  for (const Unit& unit : units)
    if (rest == unit.name) {
      const double value = number * unit.factor;
      if (value >= 0x1p63)
        throw std::invalid_argument("'" + std::string(text) + "' is too large a " + what);
      return value;
    }
  refuse(text, what, units);
}

// Bytes and bits are whole: half a byte is a typing error, not something to round.
uint64_t parse_whole(std::string_view text, const char* what, std::span<const Unit> units) {
  const double value = parse_with_unit(text, what, units);
  if (value != std::floor(value))
    throw std::invalid_argument("'" + std::string(text) + "' is no whole number of " +
                                std::string(units.front().name));
  return static_cast<uint64_t>(value);
}

std::string format_scaled(double value, double step, std::span<const char* const> names) {
  size_t index = 0;
  while (value >= step && index + 1 < names.size()) {
    value /= step;
    ++index;
  }
  char text[64];
  std::snprintf(text, sizeof text, value < 10 && value != std::floor(value) ? "%.1f %s" : "%.0f %s",
                value, names[index]);
  return text;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

uint64_t parse_bytes(std::string_view text) {
  return parse_whole(text, "size", kByteUnits);
}

Nanoseconds parse_duration(std::string_view text) {
  return Nanoseconds(std::llround(parse_with_unit(text, "duration", kTimeUnits)));
}

uint64_t parse_bit_rate(std::string_view text) {
  return parse_whole(text, "rate", kBitRateUnits);
}

uint64_t parse_byte_rate(std::string_view text) {
  return parse_whole(text, "rate", kByteRateUnits);
}

double parse_ratio(std::string_view text) {
  constexpr Unit kUnits[] = {{"%", 0.01}};
  if (text == "0") return 0;
  return parse_with_unit(text, "share", kUnits);
}

uint64_t parse_count(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw std::invalid_argument("'" + std::string(text) + "' is no whole number");
  return value;
}

std::string format_bytes(double bytes) {
  constexpr const char* kNames[] = {"B", "kB", "MB", "GB", "TB"};
  return format_scaled(bytes, 1000, kNames);
}

std::string format_duration(Nanoseconds duration) {
  constexpr const char* kNames[] = {"ns", "us", "ms", "s"};
  return format_scaled(static_cast<double>(duration.count()), 1000, kNames);
}

std::string format_bit_rate(double bits_per_second) {
  constexpr const char* kNames[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s"};
  return format_scaled(bits_per_second, 1000, kNames);
}

std::string closest_name(std::string_view typed, std::span<const std::string> candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, typed.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(typed, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view typed, std::span<const std::string> candidates) {
  const std::string name = closest_name(typed, candidates);
  return name.empty() ? "" : " (did you mean '" + name + "'?)";
}

}  // namespace memsync
