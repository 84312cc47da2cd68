// The owner's end by itself: errors, fence and order, without a wire.
#include "lib/transport/local_region.h"

#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "lib/transport/transport_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

constexpr uint64_t kSize = 1U << 20;

// Fails by offset: page 0 with an errno, page 1 with a stranger's exception, the rest is zeros.
class FailingReader : public Reader {
 public:
  void read_at(std::span<std::byte>, uint64_t offset) override {
    if (offset == 0) throw std::system_error(EIO, std::generic_category(), "reading");
    if (offset == 4096) throw std::runtime_error("a stranger's exception");
  }
  uint64_t size_bytes() const override { return kSize; }
};

TEST(LocalRegion, TurnsWhatAReaderThrowsIntoThatRequestsError) {
  FailingReader reader;
  LocalRegion region(reader, nullptr, {}, {});
  CountingSink sink;
  std::vector<std::byte> page(4096);
  const ReadRequest reads[] = {{0, page, 0}, {4096, page, 1}, {8192, page, 2}, {kSize, page, 3}};
  region.start_reads(reads, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(4));
  EXPECT_EQ(sink.error(0), posix(EIO));
  EXPECT_EQ(sink.error(1), posix(EIO));
  EXPECT_FALSE(sink.error(2));
  EXPECT_EQ(sink.error(3), RegionError::out_of_bounds);
}

// Says which threads read.
class WhoReads : public FailingReader {
 public:
  void read_at(std::span<std::byte>, uint64_t offset) override {
    MutexLock lock(mutex_);
    threads_[offset] = std::this_thread::get_id();
  }
  std::thread::id reader_of(uint64_t offset) {
    MutexLock lock(mutex_);
    return threads_.at(offset);
  }

 private:
  Mutex mutex_;
  std::map<uint64_t, std::thread::id> threads_ GUARDED_BY(mutex_);
};

TEST(LocalRegion, ReadsDemandOnTheAskersThreadOnlyIfItIsTold) {
  WhoReads reader;
  CountingSink sink;
  std::vector<std::byte> page(4096);
  const ReadRequest first{0, page, 0};
  const ReadRequest second{4096, page, 1};
  {
    LocalRegion region(reader, nullptr, {}, {}, LocalRegion::Reads::demand_at_once);
    region.start_reads({&first, 1}, Urgency::demand, soon(), sink);
    EXPECT_EQ(sink.count(), 1u) << "the answer is there when the call returns";
    EXPECT_EQ(reader.reader_of(0), std::this_thread::get_id());
    region.start_reads({&second, 1}, Urgency::background, soon(), sink);
    ASSERT_TRUE(sink.wait_for(2));
    EXPECT_NE(reader.reader_of(4096), std::this_thread::get_id());
  }
  LocalRegion region(reader, nullptr, {}, {});
  region.start_reads({&first, 1}, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(3));
  EXPECT_NE(reader.reader_of(0), std::this_thread::get_id());
}

TEST(LocalRegion, LeavesBackgroundReadsOfMemoryToItsThreadsIfDemandIsAtOnce) {
  struct WhoCompletes : CountingSink {
    void completed(std::span<Completion> done) noexcept override {
      thread = std::this_thread::get_id();
      CountingSink::completed(done);
    }
    std::thread::id thread;
  } sink;
  MemoryBackend memory(kSize);
  LocalRegion region(memory, nullptr, {}, {}, LocalRegion::Reads::demand_at_once);
  std::vector<std::byte> page(4096);
  const ReadRequest read{0, page, 0};
  region.start_reads({&read, 1}, Urgency::background, soon(), sink);
  ASSERT_TRUE(sink.wait_for(1));
  EXPECT_NE(sink.thread, std::this_thread::get_id());
}

TEST(LocalRegion, DestroyedCompletesWhatWaitsWithCancelled) {
  struct Blocking : FailingReader {
    void read_at(std::span<std::byte>, uint64_t) override {
      entered.count_down();
      gate.wait();
    }
    std::latch entered{4}, gate{1};
  } reader;
  CountingSink sink;
  std::vector<std::byte> page(4096);
  {
    LocalRegion region(reader, nullptr, {}, {});
    std::vector<ReadRequest> reads;
    for (uint64_t i = 0; i < 100; ++i) reads.push_back({i * 4096, page, i});
    region.start_reads(reads, Urgency::background, soon(), sink);
    reader.entered.wait();  // all of its threads are inside the reader
    std::jthread opener([&] { reader.gate.count_down(); });
    opener.join();
  }
  EXPECT_EQ(sink.count(), 100u);
  EXPECT_TRUE(sink.each_once());
}

TEST(LocalRegion, ThatCannotCollectLetsTheAppGoOn) {
  MemoryBackend memory(kSize);
  int resumed = 0;
  LocalRegion region(memory, &memory, {.epoch = 7},
                     {.resume_app = [&] { ++resumed; },
                      .collect_dirty = []() -> std::vector<ChunkIndex> {
                        throw std::system_error(EIO, std::generic_category(), "scanning");
                      }});
  EXPECT_THROW(region.suspend_and_collect(7, {}, soon()), std::system_error);
  EXPECT_EQ(resumed, 1);
  EXPECT_EQ(region.epoch(), 7u);
}

// As `memsync serve` does: no client may stop the others.
TEST(LocalRegion, WhoseAppRefusesToBeSuspendedStaysReadable) {
  MemoryBackend memory(kSize);
  LocalRegion region(memory, nullptr, {.epoch = 7},
                     {.suspend_app = [] { throw std::system_error(RegionError::refused); }});
  EXPECT_THROW(region.suspend_and_collect(7, {}, soon()), std::system_error);
  EXPECT_EQ(region.epoch(), 7u);
  CountingSink sink;
  std::vector<std::byte> buffer(4096);
  const ReadRequest read{0, buffer, 1};
  region.start_reads({&read, 1}, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(1));
  EXPECT_FALSE(sink.error(1));
}

TEST(LocalRegion, RefusesOwnershipCallsOfOtherEpochs) {
  MemoryBackend memory(kSize);
  int released = 0;
  LocalRegion region(memory, nullptr, {.epoch = 7}, {.released = [&] { ++released; }});
  EXPECT_THROW(region.start_tracking(6, soon()), std::system_error);
  EXPECT_THROW(region.suspend_and_collect(8, {}, soon()), std::system_error);
  EXPECT_THROW(region.resume(8, soon()), std::system_error);
  region.suspend_and_collect(7, {}, soon());
  EXPECT_EQ(region.epoch(), 8u);
  region.release(7, soon());
  region.release(8, soon());
  EXPECT_EQ(released, 1);
  EXPECT_THROW(region.resume(7, soon()), std::system_error) << "the new owner has everything";
}

TEST(LocalRegion, LendsItsMemoryWithinBoundsOnly) {
  MemoryBackend memory(kSize);
  LocalRegion region(memory, nullptr, {}, {});
  EXPECT_EQ(region.borrow({4096, 100}).data(), memory.mapping().data() + 4096);
  EXPECT_TRUE(region.borrow({kSize - 1, 2}).empty());
  EXPECT_TRUE(region.borrow({UINT64_MAX, 1}).empty());
}

}  // namespace
}  // namespace memsync
