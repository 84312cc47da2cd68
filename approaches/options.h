// The knobs of an approach: declared once, checked before anything runs.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "lib/os/clock.h"

namespace memsync {

// One knob. The command line, --help, `memsync list` and the canonical `options` cell are made
// from these.
struct OptionSpec {
  std::string_view name;           // "prefetch"
  std::string_view default_value;  // "window"
  std::string_view unit;          // "bytes", "duration", "count", "ratio", or "" for an enumeration
  std::string_view help;          // one line
  std::string_view choices = {};  // an enumeration's values, separated by '|': "none|window"
};

// What every approach takes beside its own options. The harness obeys these, no approach does.
std::span<const OptionSpec> common_options() noexcept;
inline constexpr std::string_view kPlantedDelay = "planted_delay";  // duration; "0s": none

// An approach whose destination can read the region's first bytes without its peer declares this
// one. The harness reads it, too: it then gives SideSetup::open_copy, and says so in the row.
inline constexpr OptionSpec kBackendOption{
    "backend", "peer", "",
    "where the destination finds the bytes: at the source (peer), or here, in memory or a file "
    "(local) or computed when they are read (pattern)",
    "peer|local|pattern"};

// An approach all of whose streams are SideSetup::network's declares this one. The harness obeys
// it.
inline constexpr OptionSpec kTlsOption{
    "tls", "off", "",
    "its streams are inside TLS 1.3, both ends with a certificate of a CA made for the campaign",
    "off|on"};

// Values for an approach's declared options and the common ones, defaults included.
class Options {
 public:
  // Throws std::invalid_argument for a name that isn't declared (with the closest one) and for a
  // value that isn't of the option's unit or choices. No spec has a common option's name (assert).
  Options(std::span<const OptionSpec> specs, std::map<std::string, std::string> given);

  const std::string& text(std::string_view name) const;  // the name is declared (assert)
  uint64_t bytes(std::string_view name) const;
  uint64_t count(std::string_view name) const;
  double ratio(std::string_view name) const;
  Nanoseconds duration(std::string_view name) const;

  // "peer" for approaches that do not declare kBackendOption.
  const std::string& backend() const;

  // False for approaches that do not declare kTlsOption.
  bool is_inside_tls() const;

  // What was given, sorted: "prefetch=none;window=1MiB". Defaults are not repeated.
  std::string canonical() const;
  // Every option as text, sorted by name.
  using Values = std::map<std::string, std::string, std::less<>>;
  const Values& values() const noexcept { return values_; }

 private:
  Values given_;
  Values values_;
};

}  // namespace memsync
