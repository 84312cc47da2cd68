#include "harness/peer_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "lib/region/quantity.h"

namespace memsync {

namespace {

using Json = nlohmann::json;

constexpr size_t kSha256Digits = 64;
constexpr size_t kXxh3Digits = 32;

[[noreturn]] void refuse(const std::string& sentence) {
  throw std::invalid_argument("the peer's line: " + sentence);
}

void refuse_unknown(const Json& line) {
  static const std::vector<std::string> known = {
      "duration_s", "bytes", "sha256", "xxh3_128", "latency_p50_s", "latency_p99_s", "faults"};
  for (const auto& [name, value] : line.items())
    if (std::ranges::find(known, name) == known.end())
      refuse("there is no member '" + quotable(name) + "'" + did_you_mean(name, known));
}

std::optional<double> number(const Json& line, const char* name) {
  if (!line.contains(name)) return std::nullopt;
  const Json& value = line[name];
  const double result = value.is_number() ? value.get<double>() : -1;
  if (!std::isfinite(result) || result < 0)
    refuse(std::string(name) + " is no number from 0 on: " + quotable(value.dump()));
  return result;
}

std::optional<uint64_t> count(const Json& line, const char* name) {
  if (!line.contains(name)) return std::nullopt;
  if (!line[name].is_number_unsigned())
    refuse(std::string(name) + " is no whole number: " + quotable(line[name].dump()));
  return line[name].get<uint64_t>();
}

std::string digest(const Json& line, const char* name, size_t digits) {
  if (!line.contains(name)) return "";
  const std::string text = line[name].is_string() ? line[name].get<std::string>() : "";
  const bool is_hex = std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (text.size() != digits || !is_hex)
    refuse(std::string(name) + " is not " + std::to_string(digits) +
           " lower-case hexadecimal digits");
  return text;
}

// The only line, without its end.
std::string only_line(const std::string& output) {
  if (output.find_first_not_of(" \t\r\n") == std::string::npos)
    throw std::invalid_argument("the peer ended without a line that says what it measured");
  const size_t end = output.find('\n');
  if (end != std::string::npos && output.find_first_not_of(" \t\r\n", end) != std::string::npos)
    throw std::invalid_argument("the peer wrote more than one line on stdout, the first '" +
                                quotable(output.substr(0, end)) + "'");
  return output.substr(0, end);
}

}  // namespace

std::string quotable(const std::string& text) {
  constexpr size_t kLengthMax = 200;
  std::string result = text.substr(0, kLengthMax);
  for (char& c : result)
    if (c < 0x20 || c > 0x7e) c = '?';
  return text.size() > kLengthMax ? result + "..." : result;
}

PeerReport parse_peer_report(const std::string& output) {
  const std::string text = only_line(output);
  const Json line = Json::parse(text, nullptr, false);
  if (!line.is_object()) refuse("no JSON object: '" + quotable(text) + "'");
  refuse_unknown(line);
  PeerReport report;
  const auto duration = number(line, "duration_s");
  const auto bytes = count(line, "bytes");
  if (!duration || !bytes) refuse(std::string(duration ? "bytes" : "duration_s") + " is missing");
  if (*duration == 0) refuse("duration_s is 0: nothing is done in no time");
  report.duration_s = *duration;
  report.bytes = *bytes;
  report.sha256 = digest(line, "sha256", kSha256Digits);
  report.xxh3_128 = digest(line, "xxh3_128", kXxh3Digits);
  if (report.sha256.empty() == report.xxh3_128.empty())
    refuse("one of sha256 and xxh3_128 says which bytes it got");
  report.latency_p50_s = number(line, "latency_p50_s");
  report.latency_p99_s = number(line, "latency_p99_s");
  report.faults = count(line, "faults");
  return report;
}

}  // namespace memsync
