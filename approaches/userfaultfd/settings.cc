#include "approaches/userfaultfd/settings.h"

#include <bit>
#include <stdexcept>
#include <string>

#include "lib/os/mapping.h"

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
    {"deadline", "10s", "duration",
     "a fault not answered by then ends in SIGBUS and an error that names it"},
    kBackendOption,
};
constexpr uint64_t kUnitMax = 1 << 20;
constexpr uint64_t kWindowMax = uint64_t{1} << 30;

}  // namespace

std::span<const OptionSpec> option_specs() noexcept {
  return kSpecs;
}

Settings settings_from(const Options& options) {
  Settings settings;
  settings.prefetch = options.text("prefetch") == "none" ? Prefetch::none : Prefetch::window;
  settings.unit_bytes = options.bytes("unit");
  settings.window_bytes = options.bytes("window");
  settings.deadline = options.duration("deadline");
  settings.bytes_from = options.backend() == "peer" ? BytesFrom::peer : BytesFrom::copy;
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
  return settings;
}

}  // namespace memsync::userfaultfd
