// Which bytes the i-th access of a reader, or operation of a writer, touches.
//
// A function of description, seed and index alone, the same on every machine: so accesses need no
// memory, can be asked for in any order and by several threads, and replayed by whoever checks
// them.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/suite.h"
#include "lib/region/geometry.h"

namespace memsync {

// A bijection of [0, size) onto itself, drawn by a seed, in constant memory: a Feistel network over
// the next power of four, walked along its cycle until it lands inside (Black and Rogaway,
// "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). Threads: any.
class SeededShuffle {
 public:
  SeededShuffle(uint64_t size, uint64_t seed);  // size >= 1
  uint64_t operator()(uint64_t index) const;    // index < size

 private:
  uint64_t permute(uint64_t value) const;
  const uint64_t size_;
  unsigned half_bits_ = 1;
  uint64_t keys_[6]{};
};

// Ranks 1..count with P(k) proportional to k^-theta, in constant memory and about one draw each:
// rejection-inversion (Hoermann and Derflinger, "Rejection-Inversion to Generate Variates from
// Monotone Discrete Distributions", ACM TOMACS 6(3), 1996). Its logarithms and powers are its own,
// of additions, multiplications and divisions only, since those of libm differ between machines.
// Threads: any.
class ZipfRanks {
 public:
  ZipfRanks(uint64_t count, double theta);  // count >= 1, theta > 0
  // The rank for the uniform draws that `key` and 0, 1, 2 ... give; ends after 1.1 draws on
  // average.
  uint64_t rank(uint64_t key) const;

 private:
  double integral(double x) const;  // of the density's hat, up to a constant
  double integral_inverse(double y) const;
  double density(double x) const;
  const uint64_t count_;
  const double theta_;
  double low_ = 0, high_ = 0, shift_ = 0;
};

// Threads: any.
class AccessPattern {
 public:
  // `region_bytes` >= 1 is where accesses fall (a writer's span), `touch_bytes` in [1,
  // region_bytes]. A trace is in `access` already and isn't empty (assert). Another `draw` gives
  // other accesses of the same distribution: zipf's favourites stay, sequential, stride and trace
  // are the same.
  AccessPattern(AccessSpec access, uint64_t region_bytes, uint64_t touch_bytes, uint64_t seed,
                uint64_t draw = 0);

  // Never empty, never past the region's end; the touch at the end may be short. Beyond one pass,
  // sequential, stride and trace begin again.
  ByteRange at(uint64_t index) const;
  uint64_t slot_count() const { return slots_; }  // touch-sized places, the short one included

 private:
  ByteRange from(uint64_t offset) const;
  uint64_t draw(uint64_t index) const;  // well mixed, of seed and index
  const AccessSpec access_;
  const uint64_t region_bytes_;
  const uint64_t touch_bytes_;
  const uint64_t slots_;
  const uint64_t key_;
  const uint64_t draw_key_;
  const SeededShuffle shuffle_;
  const ZipfRanks ranks_;
};

}  // namespace memsync
