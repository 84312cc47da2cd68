// The answer of who knows only that something has changed.
#pragma once

#include <numeric>
#include <vector>

#include "lib/region/geometry.h"

namespace memsync {

inline std::vector<ChunkIndex> all_chunks(const Geometry& geometry) {
  std::vector<ChunkIndex> chunks(geometry.chunk_count());
  std::iota(chunks.begin(), chunks.end(), ChunkIndex{0});
  return chunks;
}

}  // namespace memsync
