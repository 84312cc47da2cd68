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
    {"prefetch", "window", "", "read ahead of sequential accesses, or answer faults alone",
     "none|window"},
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
    kBackendOption,
};
constexpr uint64_t kUnitMax = 1 << 20;
constexpr uint64_t kWindowMax = uint64_t{1} << 30;
constexpr unsigned kHandlersMax = 16;

}  // namespace

std::span<const OptionSpec> option_specs() noexcept {
  return kSpecs;
}

namespace {

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
    throw std::invalid_argument("option 'handler_cpu': " + text +
                                " is neither 'any' nor a CPU (0 to " + std::to_string(cpus() - 1) +
                                ")");
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

void check_sizes(const Settings& settings, const Options& options) {
  if (!std::has_single_bit(settings.unit_bytes) || settings.unit_bytes < page_bytes() ||
      settings.unit_bytes > kUnitMax)
    throw std::invalid_argument("option 'unit': " + options.text("unit") +
                                " is no power of two from " + std::to_string(page_bytes()) +
                                "B (a page) to 1MiB");
  if (settings.window_bytes < settings.unit_bytes || settings.window_bytes > kWindowMax)
    throw std::invalid_argument("option 'window': " + options.text("window") +
                                " is not between the unit and 1GiB");
  if (settings.deadline <= Nanoseconds::zero())
    throw std::invalid_argument("option 'deadline': it must be longer than 0");
  if (settings.handlers < 1 || settings.handlers > kHandlersMax)
    throw std::invalid_argument("option 'handlers': " + options.text("handlers") +
                                " is not from 1 to 16");
  if (settings.share_before_handover > 1)
    throw std::invalid_argument("option 'share': " + options.text("share") + " is more than 100%");
}

// What can't be had together.
void check_combinations(const Settings& settings, const Options& options) {
  if (settings.writes == Writes::back && settings.tracking == Userfault::WriteTracking::none)
    throw std::invalid_argument(
        "option 'writes': 'back' needs to know what was written: set track to scan or faults");
  if (settings.handler == Handler::sigbus && settings.writes == Writes::back &&
      settings.tracking == Userfault::WriteTracking::faults)
    throw std::invalid_argument(
        "option 'handler': with 'sigbus' no write is reported: set track to scan");
  if (settings.share_before_handover > 0 && settings.tracking == Userfault::WriteTracking::none)
    throw std::invalid_argument("option 'share': " + options.text("share") +
                                " would be dropped at the hand-over: set track to scan or faults");
}

}  // namespace

Settings settings_from(const Options& options) {
  Settings settings;
  settings.prefetch = options.text("prefetch") == "none" ? Prefetch::none : Prefetch::window;
  settings.unit_bytes = options.bytes("unit");
  settings.window_bytes = options.bytes("window");
  settings.handler = handler_from(options.text("handler"));
  settings.handlers = static_cast<unsigned>(std::min<uint64_t>(options.count("handlers"), 1000));
  settings.handler_cpu = cpu_from(options.text("handler_cpu"));
  settings.door = door_from(options.text("open"));
  settings.tracking = tracking_from(options.text("track"));
  settings.writes = options.text("writes") == "back" ? Writes::back : Writes::stay;
  settings.share_before_handover = options.ratio("share");
  settings.deadline = options.duration("deadline");
  settings.bytes_from = options.backend() == "peer" ? BytesFrom::peer : BytesFrom::copy;
  check_sizes(settings, options);
  check_combinations(settings, options);
  return settings;
}

Userfault::Wishes memory_wishes(const Settings& settings) noexcept {
  return {.door = settings.door,
          .tracking =
              settings.writes == Writes::back ? settings.tracking : Userfault::WriteTracking::none,
          .raises_sigbus = settings.handler == Handler::sigbus};
}

}  // namespace memsync::userfaultfd
