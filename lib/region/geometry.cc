#include "lib/region/geometry.h"

#include <bit>

namespace memsync {

std::string geometry_problem(const Geometry& geometry) {
  if (geometry.size_bytes == 0) return "a region has at least 1 byte";
  if (geometry.chunk_bytes < 4096 || !std::has_single_bit(geometry.chunk_bytes))
    return "a chunk is a power of two of at least 4096 bytes, not " +
           std::to_string(geometry.chunk_bytes);
  return {};
}

}  // namespace memsync
