// Writes that are seen, by both ways, against writers that never stop.
#include "lib/region/write_tracker.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Tracking : public testing::TestWithParam<Userfault::WriteTracking> {
 protected:
  void SetUp() override {
    if (!Userfault::problems({.tracking = GetParam()}).empty())
      GTEST_SKIP() << Userfault::problems({.tracking = GetParam()}).front();
  }
  void open(const Geometry& geometry) {
    geometry_ = geometry;
    memory_ = Mapping::anonymous(geometry.size_bytes);
    tracker_ = WriteTracker::open(memory_.bytes(), geometry, GetParam());
  }
  volatile std::byte& at(uint64_t offset) { return memory_.bytes()[offset]; }
  std::byte read(uint64_t offset) { return at(offset); }
  void write(uint64_t offset) { at(offset) = std::byte{1}; }

  Geometry geometry_;
  Mapping memory_;
  std::unique_ptr<WriteTracker> tracker_;
};

INSTANTIATE_TEST_SUITE_P(By, Tracking,
                         testing::Values(Userfault::WriteTracking::scan,
                                         Userfault::WriteTracking::faults),
                         [](const auto& test) {
                           return test.param == Userfault::WriteTracking::scan ? "scan" : "faults";
                         });

TEST_P(Tracking, TellsEachChunkOnceAndOnlyWhatWasWritten) {
  open({.size_bytes = 100 * 4096 + 1, .chunk_bytes = 4096});
  EXPECT_THAT(tracker_->take(), IsEmpty());
  write(7 * 4096);
  EXPECT_THAT(tracker_->take(), ElementsAre(7));
  read(7 * 4096);  // a read is no write
  write(0);
  write(5 * 4096 + 17);
  write(100 * 4096);  // the tail
  EXPECT_THAT(tracker_->take(), ElementsAre(0, 5, 100));
  EXPECT_THAT(tracker_->take(), IsEmpty());
  write(5 * 4096);
  EXPECT_THAT(tracker_->take(), ElementsAre(5));
}

TEST_P(Tracking, SeesWritesToWhatWasThereBeforeAndToWhatWasOnlyRead) {
  geometry_ = {.size_bytes = 64 * 4096, .chunk_bytes = 4096};
  memory_ = Mapping::anonymous(geometry_.size_bytes);
  write(3 * 4096);
  read(4 * 4096);  // the shared zero page
  tracker_ = WriteTracker::open(memory_.bytes(), geometry_, GetParam());
  write(3 * 4096);
  write(4 * 4096);
  write(5 * 4096);
  EXPECT_THAT(tracker_->take(), ElementsAre(3, 4, 5));
}

TEST_P(Tracking, CountsAChunkOfManyPagesOnce) {
  open({.size_bytes = 10 * 65536 + 5, .chunk_bytes = 65536});
  for (uint64_t page = 0; page < 16; page += 2) write(65536 + page * 4096);
  write(10 * 65536);
  EXPECT_THAT(tracker_->take(), ElementsAre(1, 10));
}

TEST_P(Tracking, SeesWhatTheKernelWritesForASystemCall) {
  open({.size_bytes = 16 * 4096, .chunk_bytes = 4096});
  const auto [one, other] = FileDescriptor::socket_pair();
  const std::array<std::byte, 9> bytes{};
  write_all(one.get(), bytes.data(), bytes.size(), "writing");
  read_all(other.get(), &memory_.bytes()[2 * 4096], bytes.size(), "reading into the region");
  EXPECT_THAT(tracker_->take(), ElementsAre(2));
}

TEST_P(Tracking, SeesMoreRunsThanOneScanReturns) {
  constexpr uint64_t kPages = 4001;
  open({.size_bytes = kPages * 4096, .chunk_bytes = 4096});
  std::vector<ChunkIndex> expected;
  for (uint64_t page = 0; page < kPages; page += 2) {
    write(page * 4096);
    expected.push_back(page);
  }
  EXPECT_EQ(tracker_->take(), expected);
}

// Every value a writer stores must be in the answer of a take() that begins after the store.
TEST_P(Tracking, LosesNoWriteOfThreadsThatNeverStop) {
  constexpr uint64_t kPages = 256;
  open({.size_bytes = kPages * 4096, .chunk_bytes = 4096});
  std::vector<std::byte> copy(kPages * 4096);
  std::atomic<bool> stop = false;
  std::vector<std::jthread> writers;
  for (unsigned seed = 0; seed < 2; ++seed)
    writers.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      while (!stop) {
        auto* word = reinterpret_cast<std::atomic<uint64_t>*>(
            &memory_.bytes()[random() % kPages * 4096 + seed * 8]);
        word->fetch_add(1, std::memory_order_relaxed);
      }
    });
  const auto copy_written = [&] {
    for (const ChunkIndex chunk : tracker_->take())
      for (uint64_t word = 0; word < 2; ++word) {
        auto* from =
            reinterpret_cast<std::atomic<uint64_t>*>(&memory_.bytes()[chunk * 4096 + word * 8]);
        const uint64_t value = from->load(std::memory_order_relaxed);
        std::memcpy(&copy[chunk * 4096 + word * 8], &value, sizeof(value));
      }
  };
  for (int round = 0; round < 300; ++round) copy_written();
  stop = true;
  writers.clear();
  copy_written();
  EXPECT_TRUE(std::ranges::equal(memory_.bytes(), copy));
}

TEST_P(Tracking, EndsWithoutStoppingTheWriters) {
  open({.size_bytes = 4 * 4096, .chunk_bytes = 4096});
  tracker_.reset();
  write(0);
  EXPECT_EQ(read(0), std::byte{1});
}

}  // namespace
}  // namespace memsync
