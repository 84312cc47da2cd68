#include "approaches/userfaultfd/settings.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "lib/os/mapping.h"
#include "lib/region/quantity.h"

namespace memsync::userfaultfd {

namespace {

constexpr OptionSpec kSpecs[] = {
    {"prefetch", "window", "",
     "pulled ahead of its touch: nothing; a block around each fault; along sequential runs; along "
     "the trend of the last strides; what an earlier run touched first; what `first` lists",
     "none|around|window|trend|trace|priority"},
    {"unit", "64KiB", "bytes",
     "asked for at a fault, around the page: a power of two, one page to 1 MiB (4KiB: one page per "
     "fault)"},
    {"window", "16MiB", "bytes",
     "most that read-ahead has in flight; it follows the link up to here, by itself"},
    {"deadline", "10s", "duration",
     "a fault not answered by then ends in SIGBUS and an error that names it"},
    {"around", "1MiB", "bytes",
     "prefetch around: the aligned block that a fault brings, a power of two, a unit to 1 GiB"},
    {"trace", "touches", "",
     "prefetch trace: where the order of first touches lies, and is recorded while nothing lies "
     "there; a path with a slash, or a name kept with the campaign"},
    {"first", "", "",
     "prefetch priority: OFFSET+LENGTH of what to pull first, in this order, like "
     "0+64KiB;60MiB+1MiB"},
    {"background", "off", "",
     "the rest of the region comes in ascending order beside faults, which go first", "off|on"},
    {"eager", "on", "",
     "open waits until what trace or priority pull first is here, so that it raises no fault",
     "off|on"},
};
constexpr uint64_t kUnitMax = 1 << 20;
constexpr uint64_t kWindowMax = uint64_t{1} << 30;
constexpr size_t kRangesMax = 64;

Prefetch prefetch_from(const std::string& name) {
  if (name == "none") return Prefetch::none;
  if (name == "around") return Prefetch::around;
  if (name == "trend") return Prefetch::trend;
  if (name == "trace") return Prefetch::trace;
  if (name == "priority") return Prefetch::priority;
  return Prefetch::window;
}

[[noreturn]] void refuse(const std::string& option, const std::string& sentence) {
  throw std::invalid_argument("option '" + option + "': " + sentence);
}

ByteRange parse_range(const std::string& text) {
  const size_t plus = text.find('+');
  if (plus == std::string::npos)
    refuse("first", "'" + text + "' is no range: write OFFSET+LENGTH, like 60MiB+1MiB");
  ByteRange range;
  try {
    const std::string offset = text.substr(0, plus);
    range.offset = offset == "0" ? 0 : parse_bytes(offset);
    range.length = parse_bytes(text.substr(plus + 1));
  } catch (const std::invalid_argument& problem) {
    refuse("first", problem.what());
  }
  if (range.length == 0) refuse("first", "'" + text + "' is empty");
  if (!lies_within(range.offset, range.length, UINT64_MAX))
    refuse("first", "'" + text + "' goes beyond any region");
  return range;
}

void check_units(const Settings& settings, const Options& options) {
  if (!std::has_single_bit(settings.unit_bytes) || settings.unit_bytes < page_bytes() ||
      settings.unit_bytes > kUnitMax)
    refuse("unit", options.text("unit") + " is no power of two from " +
                       std::to_string(page_bytes()) + "B (a page) to 1MiB");
  if (settings.window_bytes < settings.unit_bytes || settings.window_bytes > kWindowMax)
    refuse("window", options.text("window") + " is not between the unit and 1GiB");
  if (settings.prefetch == Prefetch::around &&
      (!std::has_single_bit(settings.around_bytes) || settings.around_bytes < settings.unit_bytes ||
       settings.around_bytes > kWindowMax))
    refuse("around", options.text("around") + " is no power of two from the unit to 1GiB");
}

void check_guidance(const Settings& settings, const Options& options) {
  const std::string& first = options.text("first");
  const bool is_priority = settings.prefetch == Prefetch::priority;
  if (!first.empty() && !is_priority) refuse("first", "it is of use with prefetch: priority only");
  if (is_priority) parse_ranges(first);
  if (settings.prefetch == Prefetch::trace && options.text("trace").empty())
    refuse("trace", "it is empty: a path with a slash, or a name");
}

}  // namespace

std::span<const OptionSpec> option_specs() noexcept {
  return kSpecs;
}

Settings settings_from(const Options& options) {
  Settings settings;
  settings.prefetch = prefetch_from(options.text("prefetch"));
  settings.unit_bytes = options.bytes("unit");
  settings.window_bytes = options.bytes("window");
  settings.deadline = options.duration("deadline");
  settings.around_bytes = options.bytes("around");
  settings.is_background = options.text("background") == "on";
  settings.is_eager = options.text("eager") == "on";
  check_units(settings, options);
  if (settings.deadline <= Nanoseconds::zero()) refuse("deadline", "it must be longer than 0");
  check_guidance(settings, options);
  return settings;
}

std::vector<ByteRange> parse_ranges(const std::string& text) {
  if (text.empty()) refuse("first", "it is empty, and prefetch: priority pulls what it lists");
  std::vector<ByteRange> ranges;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(';', start), text.size());
    ranges.push_back(parse_range(text.substr(start, end - start)));
    if (ranges.size() > kRangesMax)
      refuse("first", "it lists more than " + std::to_string(kRangesMax) + " ranges");
    start = end + 1;
  }
  return ranges;
}

}  // namespace memsync::userfaultfd
