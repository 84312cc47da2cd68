// Which blocks of a file: one bit each, joined word by word.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "lib/region/geometry.h"

namespace memsync::mmap_push {

// Threads: one at a time.
class BlockSet {
 public:
  explicit BlockSet(uint64_t count = 0) { resize(count); }

  uint64_t count() const noexcept { return count_; }
  // Blocks behind a new end are no longer in it, new ones not yet.
  void resize(uint64_t count) {
    words_.resize((count + 63) / 64);
    if (count < count_ && count % 64 != 0) words_.back() &= (uint64_t{1} << count % 64) - 1;
    count_ = count;
  }
  // Each block below count().
  void add(ChunkIndex block) { words_[block / 64] |= uint64_t{1} << block % 64; }
  void remove(ChunkIndex block) { words_[block / 64] &= ~(uint64_t{1} << block % 64); }
  void add_from(ChunkIndex first) {
    for (; first < count_ && first % 64 != 0; ++first) add(first);
    for (; first + 64 <= count_; first += 64) words_[first / 64] = ~uint64_t{0};
    for (; first < count_; ++first) add(first);
  }
  // Those of `other` that lie below count().
  void add(const BlockSet& other) {
    const uint64_t count = count_;
    const size_t words = std::min(words_.size(), other.words_.size());
    for (size_t i = 0; i < words; ++i) words_[i] |= other.words_[i];
    if (count % 64 != 0 && words == words_.size()) words_.back() &= (uint64_t{1} << count % 64) - 1;
  }
  bool has(ChunkIndex block) const { return (words_[block / 64] >> block % 64 & 1) != 0; }
  bool is_empty() const {
    return std::ranges::all_of(words_, [](uint64_t word) { return word == 0; });
  }
  uint64_t size() const {  // how many are in it
    uint64_t sum = 0;
    for (const uint64_t word : words_) sum += static_cast<uint64_t>(std::popcount(word));
    return sum;
  }
  // The first one from `from` on; count() when there is none.
  ChunkIndex next(ChunkIndex from) const {
    for (uint64_t at = from / 64; at < words_.size(); ++at) {
      const uint64_t word = at == from / 64 ? words_[at] >> from % 64 << from % 64 : words_[at];
      if (word != 0) return at * 64 + static_cast<uint64_t>(std::countr_zero(word));
    }
    return count_;
  }

 private:
  uint64_t count_ = 0;
  std::vector<uint64_t> words_;
};

}  // namespace memsync::mmap_push
