// Compiled without contraction of a*b+c (CMakeLists.txt), so that each operation rounds as IEEE 754
// says, on every machine.
#include "harness/access_pattern.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "lib/region/content.h"

namespace memsync {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr double kLn2 = 0.693147180559945309417232121458;

// log(1 + x) for |x| <= 0.5, as 2 atanh(x / (2 + x)): no cancellation near 0.
double log_near_one(double x) {
  const double s = x / (2 + x);
  const double square = s * s;
  double sum = 0;
  for (int power = 41; power >= 1; power -= 2) sum = sum * square + 1.0 / power;
  return 2 * s * sum;
}

double log_of(double x) {
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);  // exact; in [0.5, 1)
  if (mantissa < 0.7) {
    mantissa *= 2;
    --exponent;
  }
  return log_near_one(mantissa - 1) + exponent * kLn2;
}

// (exp(x) - 1) / x for |x| <= 0.5, by its series.
double exp_slope_near_zero(double x) {
  double sum = 1;
  for (int term = 18; term >= 2; --term) sum = 1 + sum * x / term;
  return sum;
}

double exp_of(double x) {
  const double clamped = std::clamp(x, -700.0, 700.0);  // beyond, ranks no longer differ
  const double multiple = std::floor(clamped / kLn2 + 0.5);
  const double rest = clamped - multiple * kLn2;
  return std::ldexp(1 + rest * exp_slope_near_zero(rest), static_cast<int>(multiple));
}

double exp_slope(double x) {  // (exp(x) - 1) / x, 1 at 0
  return std::fabs(x) <= 0.5 ? exp_slope_near_zero(x) : (exp_of(x) - 1) / x;
}

double log_slope(double x) {  // log(1 + x) / x, 1 at 0
  if (std::fabs(x) < 1e-8) return 1 - x / 2;
  return (std::fabs(x) <= 0.3 ? log_near_one(x) : log_of(1 + x)) / x;
}

// Draws below `bound` from a well-mixed value; the bias is below bound / 2^64.
uint64_t below(uint64_t draw, uint64_t bound) {
  return static_cast<uint64_t>((static_cast<Wide>(draw) * bound) >> 64);
}

}  // namespace

SeededShuffle::SeededShuffle(uint64_t size, uint64_t seed) : size_(size) {
  assert(size >= 1);
  while (half_bits_ < 32 && (uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
  SeededDraws draws(seed);
  for (uint64_t& key : keys_) key = draws.next();
}

uint64_t SeededShuffle::permute(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_;
  uint64_t right = value & mask;
  for (const uint64_t key : keys_) left = std::exchange(right, left ^ (mix64(right ^ key) & mask));
  return (left << half_bits_) | right;
}

uint64_t SeededShuffle::operator()(uint64_t index) const {
  assert(index < size_);
  uint64_t value = permute(index);
  while (value >= size_)
    value = permute(value);  // the domain is below 4 size: about 4 steps at most
  return value;
}

ZipfRanks::ZipfRanks(uint64_t count, double theta) : count_(count), theta_(theta) {
  assert(count >= 1 && theta > 0);
  low_ = integral(1.5) - 1;
  high_ = integral(static_cast<double>(count) + 0.5);
  shift_ = 2 - integral_inverse(integral(2.5) - density(2));
}

// (x^(1-theta) - 1) / (1 - theta), and log(x) where theta is 1.
double ZipfRanks::integral(double x) const {
  const double log_x = log_of(x);
  return exp_slope((1 - theta_) * log_x) * log_x;
}

double ZipfRanks::integral_inverse(double y) const {
  const double t = std::max(y * (1 - theta_), -1 + 1e-15);  // rounding may pass -1
  return exp_of(log_slope(t) * y);
}

double ZipfRanks::density(double x) const {
  return exp_of(-theta_ * log_of(x));
}

uint64_t ZipfRanks::rank(uint64_t key) const {
  if (count_ == 1) return 1;
  SeededDraws draws(key);
  while (true) {
    const double y = high_ + draws.fraction() * (low_ - high_);
    const double x = integral_inverse(y);
    const double nearest = std::floor(x + 0.5);
    const uint64_t rank = nearest < 1                              ? 1
                          : nearest >= static_cast<double>(count_) ? count_
                                                                   : static_cast<uint64_t>(nearest);
    const auto k = static_cast<double>(rank);
    if (k - x <= shift_ || y >= integral(k + 0.5) - density(k)) return rank;
  }
}

AccessPattern::AccessPattern(AccessSpec access, uint64_t region_bytes, uint64_t touch_bytes,
                             uint64_t seed, uint64_t draw)
    : access_(std::move(access)),
      region_bytes_(region_bytes),
      touch_bytes_(touch_bytes),
      slots_(region_bytes / touch_bytes + (region_bytes % touch_bytes != 0)),
      key_(mix64(seed ^ 0x6163636573736573U)),  // "accesses": apart from the content's draws
      draw_key_(draw == 0 ? key_ : mix64(key_ ^ mix64(draw))),
      shuffle_(slots_, mix64(key_)),
      ranks_(slots_, access_.order == AccessOrder::zipf ? access_.theta : 1) {
  assert(touch_bytes >= 1 && touch_bytes <= region_bytes);
  assert(access_.order != AccessOrder::trace || !access_.trace.empty());
}

uint64_t AccessPattern::draw(uint64_t index) const {
  return mix64(draw_key_ + index * 0x9e3779b97f4a7c15U);  // splitmix64's sequence, in any order
}

ByteRange AccessPattern::from(uint64_t offset) const {
  return {offset, std::min(touch_bytes_, region_bytes_ - offset)};
}

ByteRange AccessPattern::at(uint64_t index) const {
  switch (access_.order) {
    case AccessOrder::sequential:
      return from(index % slots_ * touch_bytes_);
    case AccessOrder::random:
      return from(below(draw(index), slots_) * touch_bytes_);
    case AccessOrder::zipf:
      return from(shuffle_(ranks_.rank(draw(index)) - 1) * touch_bytes_);
    case AccessOrder::stride:
      return from(
          static_cast<uint64_t>(static_cast<Wide>(index) * access_.stride_bytes % region_bytes_));
    case AccessOrder::trace:
      return from(access_.trace[index % access_.trace.size()] % region_bytes_);
  }
  return from(0);
}

}  // namespace memsync
