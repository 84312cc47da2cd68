#include "lib/region/parallel_chunks.h"

#include <atomic>
#include <gtest/gtest.h>
#include <latch>
#include <stdexcept>
#include <vector>

namespace memsync {
namespace {

TEST(ParallelChunks, VisitsEachChunkOnceWhateverTheBatch) {
  for (const ChunkIndex count : {0u, 1u, 7u, 64u, 1001u})
    for (const ChunkIndex batch : {1u, 8u, 5000u}) {
      std::vector<std::atomic<int>> visits(count);
      parallel_chunks(count, 3, batch, [&](ChunkIndex first, ChunkIndex end) {
        EXPECT_LE(end - first, batch);
        for (; first < end; ++first) ++visits[first];
      });
      for (const auto& each : visits) EXPECT_EQ(each, 1);
    }
}

TEST(ParallelChunks, UsesAsManyThreadsAsAskedFor) {
  std::latch all_inside{4};  // passes only when four batches are under way at once
  parallel_chunks(4, 4, 1, [&](ChunkIndex, ChunkIndex) { all_inside.arrive_and_wait(); });
}

// Of many that fail, the first is told, nobody waits for ever and no thread is left (xF9).
TEST(ParallelChunks, EndsAndRethrowsTheFirstFailureWhenSeveralFail) {
  std::atomic<int> inside = 0;
  std::latch all_inside{3};
  EXPECT_THROW(parallel_chunks(1000, 3, 1,
                               [&](ChunkIndex, ChunkIndex) {
                                 ++inside;
                                 all_inside.arrive_and_wait();
                                 throw std::runtime_error("unreadable");
                               }),
               std::runtime_error);
  EXPECT_EQ(inside, 3);  // nothing was begun after the failures
}

}  // namespace
}  // namespace memsync
