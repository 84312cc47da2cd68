// The knobs of the approach: declared once, checked before anything runs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "approaches/options.h"
#include "lib/os/clock.h"
#include "lib/region/geometry.h"

namespace memsync::userfaultfd {

// What is pulled ahead of its touch; one file each in prefetch/.
enum class Prefetch : uint8_t { none, around, window, trend, trace, priority };

struct Settings {
  Prefetch prefetch = Prefetch::window;
  uint64_t unit_bytes = 64 << 10;    // asked for and placed together at a fault
  uint64_t window_bytes = 16 << 20;  // most that read-ahead may have in flight
  Nanoseconds deadline = std::chrono::seconds(10);
  uint64_t around_bytes = 1 << 20;  // around: of the block
  bool is_background = false;       // the whole region comes, beside faults
  bool is_eager = true;             // trace, priority: the side opens when their units are here

  bool pulls_ahead() const { return prefetch != Prefetch::none || is_background; }
};

std::span<const OptionSpec> option_specs() noexcept;
// Throws std::invalid_argument with one sentence.
Settings settings_from(const Options& options);

// priority: the ranges to pull first, none empty, at most 64, in the order of the text
// "OFFSET+LENGTH;OFFSET+LENGTH;...". Throws std::invalid_argument with one sentence.
std::vector<ByteRange> parse_ranges(const std::string& text);

}  // namespace memsync::userfaultfd
