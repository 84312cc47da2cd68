// Quantities as people write them: every one carries its unit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "lib/os/clock.h"

namespace memsync {

// Each throws std::invalid_argument with one sentence that names the text and the units there are.
uint64_t parse_bytes(std::string_view text);        // B kB MB GB KiB MiB GiB TiB: "64MiB"
Nanoseconds parse_duration(std::string_view text);  // ns us ms s min h: "1.5ms"
uint64_t parse_bit_rate(std::string_view text);     // bit/s kbit/s Mbit/s Gbit/s -> bits per second
uint64_t parse_byte_rate(
    std::string_view text);                   // B/s kB/s .. KiB/s MiB/s GiB/s -> bytes per second
double parse_ratio(std::string_view text);    // "0.1%" -> 0.001; a bare "0" is 0
uint64_t parse_count(std::string_view text);  // bare, >= 0: "4096"

// For people, in base units' multiples: 33.6 MB, 1.0 Gbit/s, 25 ms.
std::string format_bytes(double bytes);
std::string format_duration(Nanoseconds duration);
std::string format_bit_rate(double bits_per_second);

// The candidate that is closest to what was typed (edit distance), or "" when none is near.
std::string closest_name(std::string_view typed, std::span<const std::string> candidates);
// " (did you mean 'x'?)" or "", to append to a refusal.
std::string did_you_mean(std::string_view typed, std::span<const std::string> candidates);

}  // namespace memsync
