// The file of a trace: the order in which a region's units were first touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "approaches/userfaultfd/prefetch/prefetcher.h"

namespace memsync::userfaultfd {

// A trace is of one region's size and one size of units, and of no other.
struct TraceShape {
  uint64_t region_bytes = 0;  // at least 1
  uint64_t unit_bytes = 0;    // at least 1
  UnitIndex unit_count() const { return (region_bytes - 1) / unit_bytes + 1; }
};

// Little-endian, 64 bits each: magic, version, region_bytes, unit_bytes, count, the XXH3 of what
// follows; then `count` indices of units, each at most once.
std::vector<std::byte> encode_trace(const TraceShape& shape, std::span<const UnitIndex> touches);
// Any bytes. Throws std::invalid_argument with one sentence where they are no trace of `shape`.
std::vector<UnitIndex> decode_trace(std::span<const std::byte> bytes, const TraceShape& shape);

// nullopt: there is no such file. Throws as decode_trace() does, the path before it, and
// std::system_error.
std::optional<std::vector<UnitIndex>> read_trace(const std::string& path, const TraceShape& shape);
// Who reads meanwhile sees the old file or the new one. Throws std::system_error.
void write_trace(const std::string& path, const TraceShape& shape,
                 std::span<const UnitIndex> touches);

}  // namespace memsync::userfaultfd
