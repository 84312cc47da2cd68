// The knobs of the approach: declared once, checked before anything runs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "approaches/options.h"
#include "lib/os/clock.h"
#include "lib/os/userfault.h"
#include "lib/region/geometry.h"

namespace memsync::userfaultfd {

// Who answers a fault.
enum class Handler : uint8_t {
  poll,    // a thread that sleeps until there is one
  spin,    // a thread that looks all the time, and takes a CPU for it
  sigbus,  // the thread that touched the page, in a signal handler
};
// What becomes of what the destination's application writes before it owns the region.
enum class Writes : uint8_t {
  stay,  // nothing: the source never sees it, and the hand-over drops it
  back,  // sync() sends it to the source, whose application only reads
};
// What is pulled ahead of its touch; one file each in prefetch/.
enum class Prefetch : uint8_t { none, around, window, trend, trace, priority };
enum class BytesFrom : uint8_t { peer, copy };  // the source, or SideSetup::open_copy

struct Settings {
  Prefetch prefetch = Prefetch::window;
  uint64_t unit_bytes = 64 << 10;    // asked for and placed together at a fault
  uint64_t window_bytes = 16 << 20;  // most that read-ahead may have in flight
  Handler handler = Handler::poll;
  unsigned handlers = 1;
  std::optional<unsigned> handler_cpu = {};  // where the handlers run; else wherever they may
  Userfault::Door door = Userfault::Door::any;
  Userfault::WriteTracking tracking = Userfault::WriteTracking::none;
  Writes writes = Writes::stay;
  double share_before_handover = 0;  // of the region, pulled while the source still runs
  Nanoseconds deadline = std::chrono::seconds(10);
  BytesFrom bytes_from = BytesFrom::peer;
  uint64_t around_bytes = 1 << 20;  // around: of the block
  bool is_background = false;       // the whole region comes, beside faults
  bool is_eager = true;             // trace, priority: the side opens when their units are here

  bool pulls_ahead() const { return prefetch != Prefetch::none || is_background; }
};

std::span<const OptionSpec> option_specs() noexcept;
// Throws std::invalid_argument with one sentence.
Settings settings_from(const Options& options);
// What the destination's memory needs of the kernel.
Userfault::Wishes memory_wishes(const Settings& settings) noexcept;

// priority: the ranges to pull first, none empty, at most 64, in the order of the text
// "OFFSET+LENGTH;OFFSET+LENGTH;...". Throws std::invalid_argument with one sentence.
std::vector<ByteRange> parse_ranges(const std::string& text);

}  // namespace memsync::userfaultfd
