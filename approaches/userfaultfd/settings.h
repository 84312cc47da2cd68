// The knobs of the approach: declared once, checked before anything runs.
#pragma once

#include <cstdint>
#include <span>

#include "approaches/options.h"
#include "lib/os/clock.h"

namespace memsync::userfaultfd {

enum class Prefetch : uint8_t { none, window };
enum class BytesFrom : uint8_t { peer, copy };  // the source, or SideSetup::open_copy

struct Settings {
  Prefetch prefetch = Prefetch::window;
  uint64_t unit_bytes = 64 << 10;    // asked for and placed together at a fault
  uint64_t window_bytes = 16 << 20;  // most that read-ahead may have in flight
  Nanoseconds deadline = std::chrono::seconds(10);
  BytesFrom bytes_from = BytesFrom::peer;
};

std::span<const OptionSpec> option_specs() noexcept;
// Throws std::invalid_argument with one sentence.
Settings settings_from(const Options& options);

}  // namespace memsync::userfaultfd
