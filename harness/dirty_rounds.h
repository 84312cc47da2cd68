// The changes of an update workload: a share of the chunks per round, one byte in each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lib/region/geometry.h"

namespace memsync {

struct ByteChange {
  uint64_t offset = 0;
  std::byte flip{};  // to be XORed in; never zero, so the byte changes
};

// The changes of round `round` (from 0): max(1, round(ratio * chunks)) different chunks, ascending.
// A function of its arguments alone, so source and checker agree.
std::vector<ByteChange> dirty_round(const Geometry& geometry, double ratio, uint64_t seed,
                                    uint64_t round);
void apply_changes(std::span<const ByteChange> changes, std::span<std::byte> region);

}  // namespace memsync
