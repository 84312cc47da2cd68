#include "approaches/options.h"

#include <cassert>
#include <iterator>
#include <stdexcept>
#include <vector>

#include "lib/region/quantity.h"

namespace memsync {

namespace {

constexpr OptionSpec kCommon[] = {
    {kPlantedDelay, "0s", "duration",
     "the harness delays the destination by this long: a slow-down that a judge must find"},
};

bool is_choice(std::string_view choices, std::string_view value) {
  while (!choices.empty()) {
    const size_t bar = choices.find('|');
    if (choices.substr(0, bar) == value) return true;
    choices = bar == std::string_view::npos ? std::string_view{} : choices.substr(bar + 1);
  }
  return false;
}

void check_value(const OptionSpec& spec, const std::string& value) {
  const auto prefix = "option '" + std::string(spec.name) + "': ";
  try {
    if (!spec.choices.empty()) {
      if (!is_choice(spec.choices, value))
        throw std::invalid_argument("'" + value + "' is none of " + std::string(spec.choices));
    } else if (spec.unit == "bytes") {
      parse_bytes(value);
    } else if (spec.unit == "duration") {
      parse_duration(value);
    } else if (spec.unit == "count") {
      parse_count(value);
    } else if (spec.unit == "ratio") {
      parse_ratio(value);
    }
  } catch (const std::invalid_argument& problem) {
    throw std::invalid_argument(prefix + problem.what());
  }
}

}  // namespace

std::span<const OptionSpec> common_options() noexcept {
  return kCommon;
}

Options::Options(std::span<const OptionSpec> own, std::map<std::string, std::string> given) {
  std::vector<OptionSpec> specs(own.begin(), own.end());
  specs.insert(specs.end(), std::begin(kCommon), std::end(kCommon));
  std::vector<std::string> names;
  for (const OptionSpec& spec : specs) {
    names.emplace_back(spec.name);
    [[maybe_unused]] const auto [at, is_new] = values_.emplace(spec.name, spec.default_value);
    assert(is_new);  // or one of two would be obeyed, and nobody could say which
  }
  for (auto& [name, value] : given) {
    const auto declared = values_.find(name);
    if (declared == values_.end())
      throw std::invalid_argument("there is no option '" + name + "'" + did_you_mean(name, names));
    for (const OptionSpec& spec : specs)
      if (spec.name == name) check_value(spec, value);
    declared->second = value;
    given_.emplace(name, value);
  }
}

const std::string& Options::text(std::string_view name) const {
  const auto found = values_.find(name);
  assert(found != values_.end());  // an approach asks for what it declared
  return found->second;
}

uint64_t Options::bytes(std::string_view name) const {
  return parse_bytes(text(name));
}
uint64_t Options::count(std::string_view name) const {
  return parse_count(text(name));
}
double Options::ratio(std::string_view name) const {
  return parse_ratio(text(name));
}
Nanoseconds Options::duration(std::string_view name) const {
  return parse_duration(text(name));
}

const std::string& Options::backend() const {
  static const std::string kPeer = "peer";
  const auto found = values_.find(kBackendOption.name);
  return found == values_.end() ? kPeer : found->second;
}

bool Options::is_inside_tls() const {
  const auto found = values_.find(kTlsOption.name);
  return found != values_.end() && found->second == "on";
}

std::string Options::canonical() const {
  std::string result;
  for (const auto& [name, value] : given_)
    result.append(result.empty() ? "" : ";").append(name).append("=").append(value);
  return result;
}

}  // namespace memsync
