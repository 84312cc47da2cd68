// Geometry, bitmap, content and digests.
#include <algorithm>
#include <gtest/gtest.h>
#include <latch>
#include <map>
#include <thread>
#include <vector>

#include "lib/region/chunk_bitmap.h"
#include "lib/region/content.h"
#include "lib/region/digest.h"
#include "lib/region/geometry.h"

namespace memsync {
namespace {

TEST(Geometry, GivesTheTailItsOwnShortChunk) {
  const Geometry geometry{.size_bytes = 10'000, .chunk_bytes = 4096};
  EXPECT_EQ(geometry.chunk_count(), 3u);
  EXPECT_EQ(geometry.chunk_length(0), 4096u);
  EXPECT_EQ(geometry.chunk_length(2), 10'000u - 8192u);
}

TEST(Geometry, OfAnySizeIsCoveredExactlyByItsChunks) {
  for (const uint64_t size : {1ULL, 4095ULL, 4096ULL, 4097ULL, 8192ULL, 65537ULL, 1'000'003ULL}) {
    const Geometry geometry{.size_bytes = size, .chunk_bytes = 4096};
    uint64_t sum = 0;
    for (ChunkIndex chunk = 0; chunk < geometry.chunk_count(); ++chunk) {
      EXPECT_GE(geometry.chunk_length(chunk), 1u) << size;
      sum += geometry.chunk_length(chunk);
    }
    EXPECT_EQ(sum, size);
  }
}

TEST(Geometry, CountsTheChunksOfTheLargestSizeWithoutOverflow) {
  const Geometry geometry{.size_bytes = UINT64_MAX, .chunk_bytes = 4096};
  EXPECT_EQ(geometry.chunk_count(), UINT64_MAX / 4096 + 1);
}

TEST(Geometry, RefusesNoBytesAndOddChunks) {
  EXPECT_EQ(geometry_problem({.size_bytes = 1, .chunk_bytes = 4096}), "");
  EXPECT_NE(geometry_problem({.size_bytes = 0, .chunk_bytes = 4096}), "");
  EXPECT_NE(geometry_problem({.size_bytes = 1, .chunk_bytes = 2048}), "");
  EXPECT_NE(geometry_problem({.size_bytes = 1, .chunk_bytes = 6144}), "");
}

TEST(Range, WithinItsBoundsIsJudgedWithoutOverflow) {
  EXPECT_TRUE(lies_within(0, 0, 0));
  EXPECT_TRUE(lies_within(10, 5, 15));
  EXPECT_FALSE(lies_within(10, 6, 15));
  EXPECT_FALSE(lies_within(16, 0, 15));
  EXPECT_FALSE(lies_within(8, UINT64_MAX - 4, 15));
}

TEST(ChunkBitmap, SaysWhoSetABitFirst) {
  ChunkBitmap bitmap(100);
  EXPECT_TRUE(bitmap.set(70));
  EXPECT_FALSE(bitmap.set(70));
  EXPECT_TRUE(bitmap.test(70));
  EXPECT_TRUE(bitmap.clear(70));
  EXPECT_FALSE(bitmap.clear(70));
}

TEST(ChunkBitmap, FindsTheFirstClearChunkAcrossWordsAndNeverPastTheEnd) {
  ChunkBitmap bitmap(130);
  for (ChunkIndex chunk = 0; chunk < 129; ++chunk) bitmap.set(chunk);
  EXPECT_EQ(bitmap.first_clear(), 129u);
  EXPECT_EQ(bitmap.first_clear(129), 129u);
  bitmap.set(129);
  EXPECT_EQ(bitmap.first_clear(), std::nullopt);
  EXPECT_EQ(bitmap.count_set(), 130u);
  bitmap.clear(64);
  EXPECT_EQ(bitmap.first_clear(3), 64u);
  EXPECT_EQ(bitmap.all_set().size(), 129u);
}

TEST(ChunkBitmap, GivesEachChunkToOneOfManyThreads) {
  ChunkBitmap bitmap(10'000);
  std::latch start{4};
  std::array<uint64_t, 4> won{};
  {
    std::vector<std::jthread> threads;
    for (auto& mine : won)
      threads.emplace_back([&bitmap, &start, &mine] {
        start.arrive_and_wait();
        for (ChunkIndex chunk = 0; chunk < 10'000; ++chunk) mine += bitmap.set(chunk) ? 1 : 0;
      });
  }
  EXPECT_EQ(won[0] + won[1] + won[2] + won[3], 10'000u);
}

std::vector<std::byte> content(ContentKind kind, uint64_t seed, uint64_t offset, size_t size) {
  std::vector<std::byte> bytes(size);
  fill_content(kind, seed, bytes, offset);
  return bytes;
}

TEST(Content, IsTheSameInAnyPieces) {
  for (const auto kind : {ContentKind::random, ContentKind::text, ContentKind::zero}) {
    const auto whole = content(kind, 7, 0, 20'000);
    for (const uint64_t offset : {0u, 1u, 4095u, 4096u, 4097u, 12'345u})
      for (const size_t size : {1u, 5u, 4096u, 5000u}) {
        const auto piece = content(kind, 7, offset, size);
        EXPECT_TRUE(
            std::equal(piece.begin(), piece.end(), whole.begin() + static_cast<long>(offset)))
            << "kind " << int(kind) << " offset " << offset << " size " << size;
      }
  }
}

TEST(Content, DiffersBySeedAndByPage) {
  for (const auto kind : {ContentKind::random, ContentKind::text}) {
    EXPECT_NE(content(kind, 1, 0, 4096), content(kind, 2, 0, 4096));
    EXPECT_NE(content(kind, 1, 0, 4096), content(kind, 1, 4096, 4096));
  }
}

// The reference campaigns depend on it: a change here would change every content hash.
TEST(Content, HasNeverChanged) {
  EXPECT_EQ(to_hex(digest_of(content(ContentKind::random, 1, 0, 1 << 20))),
            "e23f551eca3701a35b38c04f3459b5eb");
  EXPECT_EQ(to_hex(digest_of(content(ContentKind::text, 1, 0, 1 << 20))),
            "d7ae27ebbd133b604f0becb9189c3896");
}

TEST(Content, RandomUsesAllByteValuesEvenly) {
  std::map<std::byte, int> counts;
  for (const std::byte value : content(ContentKind::random, 3, 0, 256 * 1000)) ++counts[value];
  ASSERT_EQ(counts.size(), 256u);
  // 1000 expected of each; six standard deviations are 190.
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 1000, 190);
}

TEST(Digest, IsXxh3) {
  // XXH3_128bits of the empty input, from the specification's test vectors.
  EXPECT_EQ(to_hex(digest_of({})), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, OfPiecesIsTheDigestOfTheWhole) {
  const auto bytes = content(ContentKind::random, 5, 0, 100'000);
  RunningDigest running;
  for (size_t at = 0, size = 1; at < bytes.size(); at += size, size = size * 3 + 1)
    running.update(std::span(bytes).subspan(at, std::min(size, bytes.size() - at)));
  EXPECT_EQ(running.value(), digest_of(bytes));
  EXPECT_EQ(digest_from_hex(to_hex(running.value())), running.value());
}

TEST(Draws, BelowABoundReachAllOfItAndNoMore) {
  SeededDraws draws(9);
  std::map<uint64_t, int> counts;
  for (int i = 0; i < 1000; ++i) ++counts[draws.below(3)];
  EXPECT_EQ(counts.size(), 3u);
  EXPECT_EQ(counts.rbegin()->first, 2u);
}

}  // namespace
}  // namespace memsync
