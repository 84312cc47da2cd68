#include "harness/dirty_rounds.h"

#include <algorithm>
#include <cmath>

#include "lib/region/content.h"

namespace memsync {

std::vector<ByteChange> dirty_round(const Geometry& geometry, double ratio, uint64_t seed,
                                    uint64_t round) {
  const ChunkIndex chunks = geometry.chunk_count();
  const auto wanted = std::clamp<ChunkIndex>(
      static_cast<ChunkIndex>(std::llround(ratio * static_cast<double>(chunks))), 1, chunks);
  SeededDraws draws(mix64(seed ^ 0xd127u) ^ mix64(round));
  std::vector<ByteChange> changes;
  changes.reserve(wanted);
  // Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): ascending and without repetition.
  for (ChunkIndex chunk = 0; chunk < chunks && changes.size() < wanted; ++chunk) {
    if (draws.below(chunks - chunk) >= wanted - changes.size()) continue;
    const uint64_t offset = geometry.chunk_start(chunk) + draws.below(geometry.chunk_length(chunk));
    changes.push_back({offset, static_cast<std::byte>(1 + draws.below(255))});
  }
  return changes;
}

void apply_changes(std::span<const ByteChange> changes, std::span<std::byte> region) {
  for (const ByteChange& change : changes) region[change.offset] ^= change.flip;
}

}  // namespace memsync
