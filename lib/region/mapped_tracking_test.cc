// Writes to mappings of files, whose pages the kernel may take away at any time.
#include <cstring>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tuple>

#include "lib/region/tracked_places.h"
#include "lib/region/write_tracker.h"

namespace memsync {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using How = Userfault::WriteTracking;

constexpr uint64_t kPages = 2048;
constexpr uint64_t kTable = 512;  // pages of one page table

class MappedTracking : public testing::TestWithParam<std::tuple<How, TrackedPlace>> {
 protected:
  void SetUp() override {
    const auto [how, place] = GetParam();
    if (!Userfault::problems({.tracking = how}).empty())
      GTEST_SKIP() << Userfault::problems({.tracking = how}).front();
    if (!PlacedFile::missing(place).empty()) GTEST_SKIP() << PlacedFile::missing(place);
    region_ = PlacedFile(place, kPages * 4096);
    pages_ = region_.bytes();
    geometry_ = {.size_bytes = kPages * 4096, .chunk_bytes = 4096};
  }
  void track() { tracker_ = WriteTracker::open(pages_, geometry_, std::get<How>(GetParam())); }
  void write(uint64_t page) { *const_cast<volatile std::byte*>(at(page)) = std::byte{1}; }
  void read(uint64_t page) { static_cast<void>(*const_cast<volatile std::byte*>(at(page))); }
  std::byte* at(uint64_t page) { return &pages_[page * 4096]; }
  void advise(uint64_t first, uint64_t count, int advice) {
    ASSERT_EQ(::madvise(at(first), count * 4096, advice), 0) << std::strerror(errno);
  }

  PlacedFile region_;
  std::span<std::byte> pages_;
  Geometry geometry_;
  std::unique_ptr<WriteTracker> tracker_;
};

INSTANTIATE_TEST_SUITE_P(Of, MappedTracking,
                         testing::Values(std::tuple{How::scan, TrackedPlace::memory_file},
                                         std::tuple{How::scan, TrackedPlace::tmpfs},
                                         std::tuple{How::scan, TrackedPlace::disk},
                                         std::tuple{How::faults, TrackedPlace::memory_file},
                                         std::tuple{How::faults, TrackedPlace::tmpfs}),
                         [](const auto& test) {
                           return name_of(std::get<TrackedPlace>(test.param)) +
                                  (std::get<How>(test.param) == How::scan ? "_by_scan"
                                                                          : "_by_faults");
                         });

// Asking for pages that are present or swapped, as is usual, finds none of these writes.
TEST_P(MappedTracking, SeesWritesToPagesThatWereThenTakenOutOfTheMapping) {
  track();
  write(3);
  write(7);
  write(1900);
  advise(3, 1, MADV_DONTNEED);
  ASSERT_EQ(::fsync(region_.file().get()), 0);  // now the page can be reclaimed
  advise(7, 1, MADV_PAGEOUT);  // a wish: a page that another CPU has not put on its list yet stays
  EXPECT_FALSE(Pagemap().is_populated(at(3)));
  EXPECT_THAT(tracker_->take(), ElementsAre(3, 7, 1900));
  EXPECT_THAT(tracker_->take(), IsEmpty());
}

// Of a page table all of whose pages are gone the kernel may free the table itself.
TEST_P(MappedTracking, SeesWritesOfAWholePageTableThatWasTakenOut) {
  track();
  const uint64_t into_table = reinterpret_cast<uintptr_t>(pages_.data()) / 4096 % kTable;
  const uint64_t first = kTable - into_table;
  std::vector<ChunkIndex> written;
  for (uint64_t page = first; page < first + kTable; ++page) {
    write(page);
    written.push_back(page);
  }
  advise(first, kTable, MADV_DONTNEED);
  EXPECT_EQ(tracker_->take(), written);
  EXPECT_THAT(tracker_->take(), IsEmpty());
  write(first + 9);
  EXPECT_THAT(tracker_->take(), ElementsAre(first + 9));
}

TEST_P(MappedTracking, KeepsWatchingPagesThatWereTakenOutUnwritten) {
  write(5);
  read(6);
  track();
  advise(5, 2, MADV_DONTNEED);
  read(5);
  advise(5, 1, MADV_PAGEOUT);
  EXPECT_THAT(tracker_->take(), IsEmpty());
  write(5);
  write(6);
  EXPECT_THAT(tracker_->take(), ElementsAre(5, 6));
}

TEST_P(MappedTracking, TakesNoMemoryForPagesThatNobodyTouched) {
  track();
  EXPECT_THAT(tracker_->take(), IsEmpty());
  struct stat file{};
  ASSERT_EQ(::fstat(region_.file().get(), &file), 0);
  EXPECT_EQ(file.st_blocks, 0);
  write(kPages - 1);
  EXPECT_THAT(tracker_->take(), ElementsAre(kPages - 1));
}

TEST_P(MappedTracking, SeesWritesToHolesThatWerePunchedAndToWhatWasCutOffAndGrewAgain) {
  const int file = region_.file().get();
  for (uint64_t page = 0; page < 40; ++page) write(page);
  track();
  write(9);
  ASSERT_EQ(::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 9 * 4096, 2 * 4096), 0);
  ASSERT_EQ(::ftruncate(file, 20 * 4096), 0);
  ASSERT_EQ(::ftruncate(file, kPages * 4096), 0);
  tracker_->take();
  write(9);
  write(10);
  write(30);
  write(1000);
  EXPECT_THAT(tracker_->take(), ElementsAre(9, 10, 30, 1000));
}

// A child has a mapping of its own, which is not tracked.
TEST_P(MappedTracking, SeesTheParentsWritesAndNotTheChildsAfterAFork) {
  track();
  write(1);
  const pid_t child = ::fork();
  if (child == 0) {
    write(2);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  write(3);
  EXPECT_EQ(*at(2), std::byte{1}) << "the child's write did not reach the file";
  EXPECT_THAT(tracker_->take(), ElementsAre(1, 3));
  write(3);
  EXPECT_THAT(tracker_->take(), ElementsAre(3));
}

TEST(PrivateMapping, OfAFileIsTrackedByScanThoughItsStoresReachNoFile) {
  if (!Userfault::problems({.tracking = How::scan}).empty())
    GTEST_SKIP() << Userfault::problems({.tracking = How::scan}).front();
  const PlacedFile region(TrackedPlace::memory_file, 64 * 4096);
  void* mapped =
      ::mmap(nullptr, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, region.file().get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  const std::span<std::byte> pages{static_cast<std::byte*>(mapped), 64 * 4096};
  auto tracker =
      WriteTracker::open(pages, {.size_bytes = 64 * 4096, .chunk_bytes = 4096}, How::scan);
  pages[4 * 4096] = std::byte{1};
  pages[8 * 4096] = std::byte{1};
  EXPECT_THAT(tracker->take(), ElementsAre(4, 8));
  EXPECT_EQ(region.bytes()[4 * 4096], std::byte{0});
  tracker.reset();
  ::munmap(mapped, 64 * 4096);
}

// Memory that the application gives back reads as zeros: that is a change.
TEST(AnonymousTracking, SeesPagesThatWereGivenBack) {
  for (const How how : {How::scan, How::faults}) {
    if (!Userfault::problems({.tracking = how, .protects_absent = true}).empty())
      GTEST_SKIP() << Userfault::problems({.tracking = how, .protects_absent = true}).front();
    const Mapping memory = Mapping::anonymous(64 * 4096, Population::at_once);
    const auto tracker =
        WriteTracker::open(memory.bytes(), {.size_bytes = 64 * 4096, .chunk_bytes = 4096}, how);
    ASSERT_EQ(::madvise(&memory.bytes()[5 * 4096], 4096, MADV_DONTNEED), 0);
    EXPECT_THAT(tracker->take(), ElementsAre(5));
    memory.bytes()[5 * 4096] = std::byte{1};
    EXPECT_THAT(tracker->take(), ElementsAre(5));
  }
}

// What a kernel before 6.7 is asked.
TEST(UnprotectedPages, AreTheSameWhetherScannedOrReadOneByOne) {
  if (!Userfault::problems({.tracking = How::scan}).empty())
    GTEST_SKIP() << Userfault::problems({.tracking = How::scan}).front();
  PlacedFile region(TrackedPlace::memory_file, kPages * 4096);
  const Userfault userfault = Userfault::open({.tracking = How::scan});
  userfault.register_pages(region.bytes(), Userfault::Watch::writes);
  userfault.protect(region.bytes());
  for (const uint64_t page : {0u, 3u, 4u, 700u, 2047u}) region.bytes()[page * 4096] = std::byte{1};
  ASSERT_EQ(::madvise(&region.bytes()[3 * 4096], 4096, MADV_DONTNEED), 0);
  std::vector<std::pair<const std::byte*, size_t>> scanned, read;
  const Pagemap pagemap;
  pagemap.for_each_written(
      region.bytes(), Pagemap::Then::leave, Pagemap::Absent::written_without_mark,
      [&](std::span<std::byte> run) { scanned.emplace_back(run.data(), run.size()); });
  pagemap.for_each_unprotected(
      region.bytes(), [&](std::span<std::byte> run) { read.emplace_back(run.data(), run.size()); });
  EXPECT_EQ(read, scanned);
  EXPECT_EQ(read.size(), 4u);
}

}  // namespace
}  // namespace memsync
