#include "approaches/userfaultfd/settings.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <unistd.h>

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
    {"handler", "poll", "",
     "who answers a fault: a sleeping thread, a busy one, or the touching thread itself by SIGBUS",
     "poll|spin|sigbus"},
    {"handlers", "1", "count", "threads that take faults from the one descriptor, 1 to 16"},
    {"handler_cpu", "any", "", "the CPU they run on: a number, or any"},
    {"open", "any", "", "how userfaultfd is opened", "any|device|call|user_mode"},
    {"track", "auto", "",
     "how the source notices writes, so that the hand-over keeps what is still true: by scanning, "
     "by faults, auto (scan where the kernel has it, else none), or none (all is dropped)",
     "auto|scan|faults|none"},
    {"writes", "stay", "",
     "what the destination writes before it owns the region: stays there, or goes back by sync() "
     "to a source that only reads",
     "stay|back"},
    {"share", "0%", "ratio",
     "of the region, pulled before the source is stopped for the hand-over"},
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
    kBackendOption,
    kTlsOption,
};
constexpr uint64_t kUnitMax = 1 << 20;
constexpr uint64_t kWindowMax = uint64_t{1} << 30;
constexpr unsigned kHandlersMax = 16;
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

// Of the machine: the process itself may be confined to fewer.
uint64_t cpus() {
  return static_cast<uint64_t>(std::max(::sysconf(_SC_NPROCESSORS_CONF), 1L));
}

std::optional<unsigned> cpu_from(const std::string& text) {
  if (text == "any") return std::nullopt;
  uint64_t cpu = 0;
  try {
    cpu = parse_count(text);
  } catch (const std::invalid_argument&) {
    cpu = cpus();
  }
  if (cpu >= cpus())
    refuse("handler_cpu",
           text + " is neither 'any' nor a CPU (0 to " + std::to_string(cpus() - 1) + ")");
  return static_cast<unsigned>(cpu);
}

Userfault::WriteTracking tracking_from(const std::string& text) {
  using Tracking = Userfault::WriteTracking;
  if (text == "auto")
    return Userfault::problems({.tracking = Tracking::scan}).empty() ? Tracking::scan
                                                                     : Tracking::none;
  return text == "scan" ? Tracking::scan : text == "faults" ? Tracking::faults : Tracking::none;
}

Userfault::Door door_from(const std::string& text) {
  using Door = Userfault::Door;
  return text == "device"      ? Door::device
         : text == "call"      ? Door::call
         : text == "user_mode" ? Door::user_mode
                               : Door::any;
}

Handler handler_from(const std::string& text) {
  return text == "sigbus" ? Handler::sigbus : text == "spin" ? Handler::spin : Handler::poll;
}

void check_handlers(const Settings& settings, const Options& options) {
  if (settings.deadline <= Nanoseconds::zero()) refuse("deadline", "it must be longer than 0");
  if (settings.handlers < 1 || settings.handlers > kHandlersMax)
    refuse("handlers", options.text("handlers") + " is not from 1 to 16");
}

// What can't be had together.
void check_tracking(const Settings& settings, const Options& options) {
  using Tracking = Userfault::WriteTracking;
  if (settings.share_before_handover > 1)
    refuse("share", options.text("share") + " is more than 100%");
  if (settings.writes == Writes::back && settings.tracking == Tracking::none)
    refuse("writes", "'back' needs to know what was written: set track to scan or faults");
  if (settings.handler == Handler::sigbus && settings.writes == Writes::back &&
      settings.tracking == Tracking::faults)
    refuse("handler", "with 'sigbus' no write is reported: set track to scan");
  if (settings.share_before_handover > 0 && settings.tracking == Tracking::none)
    refuse("share", options.text("share") +
                        " would be dropped at the hand-over: set track to scan or faults");
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
  settings.around_bytes = options.bytes("around");
  settings.is_background = options.text("background") == "on";
  settings.is_eager = options.text("eager") == "on";
  settings.handler = handler_from(options.text("handler"));
  settings.handlers = static_cast<unsigned>(std::min<uint64_t>(options.count("handlers"), 1000));
  settings.handler_cpu = cpu_from(options.text("handler_cpu"));
  settings.door = door_from(options.text("open"));
  settings.tracking = tracking_from(options.text("track"));
  settings.writes = options.text("writes") == "back" ? Writes::back : Writes::stay;
  settings.share_before_handover = options.ratio("share");
  settings.deadline = options.duration("deadline");
  settings.bytes_from = options.backend() == "peer" ? BytesFrom::peer : BytesFrom::copy;
  check_units(settings, options);
  check_guidance(settings, options);
  check_handlers(settings, options);
  check_tracking(settings, options);
  return settings;
}

Userfault::Wishes memory_wishes(const Settings& settings) noexcept {
  return {.door = settings.door,
          .tracking =
              settings.writes == Writes::back ? settings.tracking : Userfault::WriteTracking::none,
          .raises_sigbus = settings.handler == Handler::sigbus};
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
