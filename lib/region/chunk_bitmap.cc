#include "lib/region/chunk_bitmap.h"

#include <bit>
#include <cassert>

namespace memsync {

namespace {
constexpr uint64_t mask(ChunkIndex chunk) {
  return uint64_t{1} << (chunk % 64);
}
}  // namespace

ChunkBitmap::ChunkBitmap(ChunkIndex count) : count_(count), words_((count + 63) / 64) {}

bool ChunkBitmap::test(ChunkIndex chunk) const noexcept {
  assert(chunk < count_);
  return (words_[chunk / 64].load(std::memory_order_acquire) & mask(chunk)) != 0;
}

bool ChunkBitmap::set(ChunkIndex chunk) noexcept {
  assert(chunk < count_);
  return (words_[chunk / 64].fetch_or(mask(chunk), std::memory_order_acq_rel) & mask(chunk)) == 0;
}

bool ChunkBitmap::clear(ChunkIndex chunk) noexcept {
  assert(chunk < count_);
  return (words_[chunk / 64].fetch_and(~mask(chunk), std::memory_order_acq_rel) & mask(chunk)) != 0;
}

ChunkIndex ChunkBitmap::count_set() const noexcept {
  ChunkIndex total = 0;
  for (const auto& word : words_)
    total += static_cast<ChunkIndex>(std::popcount(word.load(std::memory_order_acquire)));
  return total;
}

std::optional<ChunkIndex> ChunkBitmap::first_clear(ChunkIndex from) const noexcept {
  while (from < count_) {
    const uint64_t clear_bits =
        ~words_[from / 64].load(std::memory_order_acquire) >> (from % 64) << (from % 64);
    if (clear_bits != 0) {
      const ChunkIndex found =
          from / 64 * 64 + static_cast<ChunkIndex>(std::countr_zero(clear_bits));
      if (found >= count_) return std::nullopt;
      return found;
    }
    from = (from / 64 + 1) * 64;
  }
  return std::nullopt;
}

std::vector<ChunkIndex> ChunkBitmap::all_set() const {
  std::vector<ChunkIndex> result;
  for (size_t index = 0; index < words_.size(); ++index)
    for (uint64_t bits = words_[index].load(std::memory_order_acquire); bits != 0; bits &= bits - 1)
      result.push_back(index * 64 + static_cast<ChunkIndex>(std::countr_zero(bits)));
  return result;
}

}  // namespace memsync
