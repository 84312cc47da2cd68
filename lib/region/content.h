// Seeded bytes that can be made, and therefore checked, in any piece and any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace memsync {

enum class ContentKind : uint8_t {
  random,  // incompressible
  text,    // words and lines, compresses like prose
  zero,
};

// Fills `into` with the bytes that stand at `offset` of the endless content of this kind and seed.
// The same on every machine, revision and run; any two overlapping calls agree. Threads: any.
void fill_content(ContentKind kind, uint64_t seed, std::span<std::byte> into, uint64_t offset);

// A well-mixed function of its argument (splitmix64's finalizer; Steele, Lea, Flood, OOPSLA'14).
constexpr uint64_t mix64(uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

// Numbers drawn one after the other from a seed; the sequence never changes. Threads: one.
class SeededDraws {
 public:
  explicit SeededDraws(uint64_t seed) : state_(mix64(seed)) {}
  uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15U); }
  // Uniform in [0, bound), bound >= 1. The bias is below bound / 2^64.
  uint64_t below(uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  double fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // in [0, 1)

 private:
  uint64_t state_;
};

}  // namespace memsync
