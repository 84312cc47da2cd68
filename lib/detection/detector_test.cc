// What every kind of detector promises, and what each sees and misses: by every writer, in every
// place.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tuple>

#include "lib/detection/file_watching.h"
#include "lib/detection/page_tracking.h"
#include "lib/detection/watched_region.h"
#include "lib/os/pagemap.h"

namespace memsync {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Geometry kGeometry{.size_bytes = 63 * 4096 + 100, .chunk_bytes = 4096};
constexpr uint64_t kChanged = 9 * 4096 + 5;  // in chunk 9

// file_facts_test.cc shows when.
constexpr const char* kSometimes = "some stores move the time of a file on a disk, others don't";

class Detecting : public testing::TestWithParam<std::tuple<DetectorKind, TrackedPlace>> {
 protected:
  void SetUp() override {
    const auto [kind, place] = GetParam();
    if (!PlacedFile::missing(place).empty()) GTEST_SKIP() << PlacedFile::missing(place);
    region_.emplace(place, kGeometry);
    watched_ = region_->watched();
    watched_.writers_pause = true;
    verdict_ = judge_detector(kind, watched_);
  }
  // The detector at rest: the peer holds everything.
  std::unique_ptr<ChangeDetector> rested() const {
    auto detector = open_detector(std::get<DetectorKind>(GetParam()), watched_, verdict_.sees);
    bring_to_rest(*detector, watched_);
    return detector;
  }
  // What a take() after `write` says, which must be all or nothing of the change.
  bool sees(const std::function<void()>& write) const {
    const auto detector = rested();
    write();
    const auto named = detector->take();
    if (detector->compares() && !named.empty()) {
      EXPECT_THAT(named, ElementsAre(9));
    }
    return std::ranges::find(named, ChunkIndex{9}) != named.end();
  }

  std::optional<WatchedRegion> region_;
  Watched watched_;
  DetectorVerdict verdict_;
};

constexpr auto kNameOf = [](const auto& test) {
  std::string name(name_of(std::get<DetectorKind>(test.param)));
  std::ranges::replace(name, '-', '_');
  return name + "_in_" + name_of(std::get<TrackedPlace>(test.param));
};

INSTANTIATE_TEST_SUITE_P(By, Detecting,
                         testing::Combine(testing::ValuesIn(kDetectorKinds),
                                          testing::ValuesIn(kTrackedPlaces)),
                         kNameOf);

// Where there is a file, so that there are other ways to it.
class DetectingFiles : public Detecting {};
INSTANTIATE_TEST_SUITE_P(By, DetectingFiles,
                         testing::Combine(testing::ValuesIn(kDetectorKinds),
                                          testing::Values(TrackedPlace::memory_file,
                                                          TrackedPlace::tmpfs, TrackedPlace::disk)),
                         kNameOf);

TEST_P(Detecting, WorksOrSaysWhyNotAndWhatToChoose) {
  if (verdict_.problem.empty()) {
    EXPECT_FALSE(verdict_.sees.is_empty());
    return;
  }
  EXPECT_TRUE(verdict_.sees.is_empty());
  EXPECT_THAT(verdict_.problem, HasSubstr("choose '"));
  EXPECT_THROW(open_detector(std::get<DetectorKind>(GetParam()), watched_, {}),
               std::invalid_argument);
}

TEST_P(Detecting, NamesEveryChunkAtFirstAndNoneOnceThePeerHoldsAll) {
  if (!verdict_.problem.empty()) GTEST_SKIP() << verdict_.problem;
  const auto detector = open_detector(std::get<DetectorKind>(GetParam()), watched_, verdict_.sees);
  EXPECT_THAT(detector->take(), SizeIs(kGeometry.chunk_count()));
  bring_to_rest(*detector, watched_);
  EXPECT_THAT(detector->take(), IsEmpty());
}

// The whole table: a detector sees what it claims, and is blind to the rest.
TEST_P(Detecting, SeesAStoreThroughTheMappingIfItSaysSo) {
  if (!verdict_.problem.empty()) GTEST_SKIP() << verdict_.problem;
  const auto [kind, place] = GetParam();
  if (kind == DetectorKind::mtime && place == TrackedPlace::disk)
    GTEST_SKIP()
        << "the first store after msync(2) moves the time, the others don't: see file_facts_test";
  EXPECT_EQ(sees([&] { region_->store(kChanged, std::byte{1}); }),
            verdict_.sees.contains(Writer::stores));
}

TEST_P(DetectingFiles, SeesAWriteToTheFileIfItSaysSo) {
  if (!verdict_.problem.empty()) GTEST_SKIP() << verdict_.problem;
  EXPECT_EQ(sees([&] { region_->call_pwrite(kChanged, std::byte{1}); }),
            verdict_.sees.contains(Writer::file_calls));
}

TEST_P(DetectingFiles, SeesAHoleAndACutIfItSaysSo) {
  if (!verdict_.problem.empty()) GTEST_SKIP() << verdict_.problem;
  if (!verdict_.sees.contains(Writer::file_calls)) GTEST_SKIP() << "it claims to see no calls";
  region_->store(kChanged, std::byte{1});
  EXPECT_TRUE(sees([&] {
    ASSERT_EQ(
        ::fallocate(region_->file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 9 * 4096, 4096),
        0);
  }));
  region_->store(kChanged, std::byte{1});
  EXPECT_TRUE(sees([&] { ASSERT_EQ(::ftruncate(region_->file(), 9 * 4096), 0); }));
}

TEST_P(DetectingFiles, SeesAStoreThroughAnotherMappingIfItSaysSo) {
  if (!verdict_.problem.empty()) GTEST_SKIP() << verdict_.problem;
  const auto [kind, place] = GetParam();
  if (kind == DetectorKind::mtime && place == TrackedPlace::disk) GTEST_SKIP() << kSometimes;
  const Mapping other =
      Mapping::shared(FileDescriptor{::dup(region_->file())}, kGeometry.size_bytes);
  static_cast<void>(*const_cast<const volatile std::byte*>(&other.bytes()[kChanged]));  // maps it
  EXPECT_EQ(sees([&] { other.bytes()[kChanged] = std::byte{1}; }),
            verdict_.sees.contains(Writer::other_mapping));
}

TEST_P(DetectingFiles, SeesAStoreOfAnotherProcessIfItSaysSo) {
  if (!verdict_.problem.empty()) GTEST_SKIP() << verdict_.problem;
  const auto [kind, place] = GetParam();
  if (kind == DetectorKind::mtime && place == TrackedPlace::disk) GTEST_SKIP() << kSometimes;
  EXPECT_EQ(sees([&] {
              const pid_t child = ::fork();
              if (child == 0) {
                region_->read_and_store(kChanged, std::byte{1});
                ::_exit(0);
              }
              int status = 0;
              ASSERT_EQ(::waitpid(child, &status, 0), child);
            }),
            verdict_.sees.contains(Writer::other_process));
}

TEST_P(Detecting, ComparingGoesOnNamingAChunkUntilThePeerHoldsIt) {
  if (!verdict_.problem.empty()) GTEST_SKIP() << verdict_.problem;
  const auto detector = rested();
  if (!detector->compares()) GTEST_SKIP() << "it compares nothing";
  std::vector<std::byte> sent(4096);
  region_->store(kChanged, std::byte{1});
  EXPECT_THAT(detector->take(), ElementsAre(9));
  region_->store(kChanged, std::byte{2});
  copy_chunk(watched_, 9, sent);
  region_->store(kChanged, std::byte{1});  // as it was when it was looked at
  detector->note_held(9, sent);
  EXPECT_THAT(detector->take(), ElementsAre(9));
  region_->store(kChanged, std::byte{2});
  EXPECT_THAT(detector->take(), IsEmpty());
}

TEST(OpenDetector, RefusesWritersThatWouldBeMissedInOneSentence) {
  const WatchedRegion region(TrackedPlace::memory_file, kGeometry);
  try {
    open_detector(DetectorKind::mtime, region.watched(), {Writer::stores, Writer::file_calls});
    FAIL() << "mtime on a memory file was let watch stores";
  } catch (const std::invalid_argument& refusal) {
    EXPECT_STREQ(refusal.what(),
                 "detector 'mtime' sees file_calls here and would miss stores; choose another, "
                 "'hash' sees all");
  }
}

// M2: what is stored through a private mapping stays private.
TEST(OpenDetector, RefusesAPrivateMappingOfAFile) {
  const WatchedRegion region(TrackedPlace::memory_file, kGeometry);
  void* mapped = ::mmap(nullptr, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, region.file(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  Watched watched = region.watched();
  watched.memory = {static_cast<std::byte*>(mapped), kGeometry.size_bytes};
  for (const DetectorKind kind : kDetectorKinds)
    EXPECT_THAT(judge_detector(kind, watched).problem, HasSubstr("MAP_SHARED"));
  ::munmap(mapped, 64 * 4096);
}

TEST(SoftDirty, IsRefusedWhereTheKernelLacksItOrWritersDoNotPause) {
  const WatchedRegion region(TrackedPlace::anonymous, kGeometry);
  Watched watched = region.watched();
  EXPECT_THAT(
      judge_detector(DetectorKind::soft_dirty, watched).problem,
      HasSubstr(Pagemap::has_soft_dirty() ? "writers that do not pause" : "CONFIG_MEM_SOFT_DIRTY"));
  watched.writers_pause = true;
  EXPECT_EQ(judge_detector(DetectorKind::soft_dirty, watched).problem.empty(),
            Pagemap::has_soft_dirty());
}

TEST(SoftDirty, BelongsToOneDetectorAtATime) {
  const WatchedRegion region(TrackedPlace::anonymous, kGeometry);
  {
    const SoftDirtyDetector first(region.watched());
    EXPECT_THROW(SoftDirtyDetector{region.watched()}, std::system_error);
  }
  EXPECT_NO_THROW(SoftDirtyDetector{region.watched()});
}

// A CRC misses for ever what a wide hash sees (xF3): the change that chunk_hash_test.cc crafts.
TEST(HashDetector, OfThirtyTwoBitsLosesACraftedChange) {
  for (const HashAlgorithm algorithm : kHashAlgorithms) {
    const WatchedRegion region(TrackedPlace::memory_file, kGeometry);
    Watched watched = region.watched();
    watched.hash = algorithm;
    const auto detector = open_detector(DetectorKind::hash, watched, WriterSet::all());
    bring_to_rest(*detector, watched);
    // The reflected polynomial of IEEE's CRC32 as a string of bits, see xor_in() there.
    constexpr uint64_t kPattern = uint64_t{1} | (uint64_t{0xEDB88320} << 1);
    for (size_t i = 0; i < 5; ++i) region.store(kChanged + i, std::byte(kPattern >> (8 * i)));
    const bool fooled = algorithm == HashAlgorithm::crc32;
    EXPECT_EQ(detector->take().empty(), fooled) << name_of(algorithm);
  }
}

TEST(ShadowDetector, GivesTheBytesThatThePeerHolds) {
  const WatchedRegion region(TrackedPlace::memory_file, kGeometry);
  const auto detector = open_detector(DetectorKind::shadow, region.watched(), WriterSet::all());
  EXPECT_THAT(detector->held(63), IsEmpty());
  const std::vector<std::byte> tail(100, std::byte{3});
  detector->note_held(63, tail);
  EXPECT_TRUE(std::ranges::equal(detector->held(63), tail));
}

TEST(CopyChunk, OfAFileThatWasCutReadsZerosBehindItsEnd) {
  const WatchedRegion region(TrackedPlace::memory_file,
                             {.size_bytes = 4 * 65536, .chunk_bytes = 65536});
  std::ranges::fill(region.bytes(), std::byte{7});
  ASSERT_EQ(::ftruncate(region.file(), 65536 + 5000), 0);
  std::vector<std::byte> copy(65536, std::byte{9});
  copy_chunk(region.watched(), 1, copy);
  EXPECT_EQ(std::ranges::count(copy, std::byte{7}), 5000);
  EXPECT_EQ(std::ranges::count(copy, std::byte{0}), 65536 - 5000);
}

TEST(FileState, TellsSizeAndReplacement) {
  const WatchedRegion region(TrackedPlace::disk, kGeometry);
  EXPECT_EQ(look_at_file(region.watched()).size_bytes, kGeometry.size_bytes);
  EXPECT_FALSE(look_at_file(region.watched()).is_replaced);
  ASSERT_EQ(::ftruncate(region.file(), 5), 0);
  EXPECT_EQ(look_at_file(region.watched()).size_bytes, 5u);
  const std::string other = region.path() + ".other";
  FileDescriptor::open(other, O_CREAT | O_WRONLY);
  ASSERT_EQ(::rename(other.c_str(), region.path().c_str()), 0);
  EXPECT_TRUE(look_at_file(region.watched()).is_replaced);
  ::unlink(region.path().c_str());
  EXPECT_TRUE(look_at_file(region.watched()).is_replaced);
}

TEST(Detectors, AreFoundByTheirNames) {
  for (const DetectorKind kind : kDetectorKinds)
    EXPECT_EQ(detector_kind_named(name_of(kind)), kind);
  EXPECT_EQ(detector_kind_named("guess"), std::nullopt);
  EXPECT_EQ(WriterSet({Writer::file_calls, Writer::stores}).names(), "stores, file_calls");
}

}  // namespace
}  // namespace memsync
