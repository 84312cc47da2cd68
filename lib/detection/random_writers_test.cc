// Writers that never stop beside a sender that looks, copies and notes: whenever they rest, one
// more look brings the receiver's copy to what the region is. The seed is in the test's name.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <thread>
#include <tuple>

#include "lib/detection/watched_region.h"
#include "lib/os/access_faults.h"
#include "lib/region/content.h"

namespace memsync {
namespace {

constexpr Geometry kGeometry{.size_bytes = 511 * 4096 + 100, .chunk_bytes = 4096};
constexpr unsigned kWriters = 2;
// 110,000 operations are asked of each seed; TSan takes ten times as long and sees a race early.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MEMSYNC_FEW_OPERATIONS
#endif
#endif
#ifdef MEMSYNC_FEW_OPERATIONS
constexpr unsigned kRests = 4;
#else
constexpr unsigned kRests = 25;
#endif
constexpr unsigned kOperationsPerRest = 2200;  // of each writer

// Looks that come faster than writers write would only take the CPUs from them.
constexpr uint64_t kOperationsPerLook = 50;

// What one writer does to the region. Each has bytes of its own, so that no two write the same.
class RandomWriter {
 public:
  using Operation = void (RandomWriter::*)();

  RandomWriter(const WatchedRegion& region, uint64_t seed, unsigned number,
               std::vector<Operation> operations)
      : region_(region),
        draws_(seed * kWriters + number),
        number_(number),
        operations_(std::move(operations)),
        other_mapping_(region.file() < 0 ? Mapping{}
                                         : Mapping::shared(FileDescriptor{::dup(region.file())},
                                                           kGeometry.size_bytes)) {
    install_fault_guard();
  }
  void operate() { (this->*operations_[draws_.below(operations_.size())])(); }

  void store() { store_to(region_.bytes()); }
  void store_to_other_mapping() { store_to(other_mapping_.bytes()); }
  void call_pwrite() {
    const std::byte value = draw_value();
    const auto at = static_cast<off_t>(draw_offset());
    check(::pwrite(region_.file(), &value, 1, at), "writing to the file");
  }
  void write_much() {
    std::vector<std::byte> bytes(1 + draws_.below(3 * 4096), draw_value());
    const uint64_t at = draws_.below(kGeometry.size_bytes - bytes.size());
    check(::pwrite(region_.file(), bytes.data(), bytes.size(), static_cast<off_t>(at)), "writing");
  }
  void punch_hole() {
    const auto page = static_cast<off_t>(draws_.below(kGeometry.chunk_count() - 1));
    check(
        ::fallocate(region_.file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * 4096, 4096),
        "punching a hole");
  }
  // Rarely, for otherwise the region would be zeros.
  void cut_and_grow() {
    if (draws_.below(64) != 0) return;
    const auto size = static_cast<off_t>(draws_.below(kGeometry.size_bytes));
    check(::ftruncate(region_.file(), size), "cutting the file");
    check(::ftruncate(region_.file(), kGeometry.size_bytes), "growing the file");
  }
  // What the kernel does to a mapping at will, and a page's bytes stay what they are.
  void take_pages_out() {
    if (draws_.below(16) != 0) return;
    advise(draws_.below(2) == 0 ? MADV_DONTNEED : MADV_PAGEOUT);
  }
  void give_page_back() { advise(MADV_DONTNEED); }  // anonymous memory: reads as zeros then

 private:
  std::byte draw_value() { return static_cast<std::byte>(draws_.below(256)); }
  uint64_t draw_offset() {
    return draws_.below(kGeometry.size_bytes / kWriters) * kWriters + number_;
  }
  // The file may just be cut: then the store is none.
  void store_to(std::span<std::byte> bytes) {
    std::atomic_ref<std::byte> to(bytes[draw_offset()]);
    const std::byte value = draw_value();
    auto storing = [&] { to.store(value, std::memory_order_relaxed); };
    static_cast<void>(guarded(storing));
  }
  void advise(int advice) {
    const uint64_t page = draws_.below(kGeometry.chunk_count());
    check(::madvise(&region_.bytes()[page * 4096], 4096, advice), "taking a page out");
  }

  const WatchedRegion& region_;
  SeededDraws draws_;
  const unsigned number_;
  const std::vector<Operation> operations_;
  const Mapping other_mapping_;
};

// The sender and the copy at the receiver.
class CopyingSender {
 public:
  explicit CopyingSender(uint64_t size) : held_(size) {}
  // Returns how many chunks it copied.
  size_t round(ChangeDetector& detector, const Watched& watched) {
    const auto named = detector.take();
    std::vector<std::byte> copy;
    for (const ChunkIndex chunk : named) {
      copy.resize(watched.geometry.chunk_length(chunk));
      copy_chunk(watched, chunk, copy);
      detector.note_held(chunk, copy);
      std::ranges::copy(
          copy, held_.begin() + static_cast<std::ptrdiff_t>(watched.geometry.chunk_start(chunk)));
    }
    return named.size();
  }
  // The first chunk in which the copy is not the region.
  std::optional<ChunkIndex> first_difference(const Watched& watched) const {
    for (ChunkIndex chunk = 0; chunk < watched.geometry.chunk_count(); ++chunk)
      if (std::memcmp(&held_[watched.geometry.chunk_start(chunk)],
                      &watched.memory[watched.geometry.chunk_start(chunk)],
                      watched.geometry.chunk_length(chunk)) != 0)
        return chunk;
    return std::nullopt;
  }

 private:
  std::vector<std::byte> held_;
};

using Operations = std::vector<RandomWriter::Operation>;

// All that the kind claims to see, and what must not disturb it.
Operations operations_for(WriterSet seen, TrackedPlace place) {
  Operations operations;
  if (seen.contains(Writer::stores)) {
    operations.insert(operations.end(), 4, &RandomWriter::store);
    operations.push_back(place == TrackedPlace::anonymous ? &RandomWriter::give_page_back
                                                          : &RandomWriter::take_pages_out);
  }
  if (place == TrackedPlace::anonymous) return operations;
  if (seen.contains(Writer::other_mapping))
    operations.insert(operations.end(), 2, &RandomWriter::store_to_other_mapping);
  if (seen.contains(Writer::file_calls)) {
    for (int i = 0; i < 4; ++i) operations.push_back(&RandomWriter::call_pwrite);
    operations.push_back(&RandomWriter::write_much);
    operations.push_back(&RandomWriter::punch_hole);
    operations.push_back(&RandomWriter::cut_and_grow);
  }
  return operations;
}

class RandomWriters
    : public testing::TestWithParam<std::tuple<DetectorKind, TrackedPlace, uint64_t>> {};

INSTANTIATE_TEST_SUITE_P(By, RandomWriters,
                         testing::Combine(testing::Values(DetectorKind::hash, DetectorKind::shadow,
                                                          DetectorKind::scan, DetectorKind::faults,
                                                          DetectorKind::mtime,
                                                          DetectorKind::inotify),
                                          testing::ValuesIn(kTrackedPlaces),
                                          testing::Values(1u, 2u)),
                         [](const auto& test) {
                           return std::string(name_of(std::get<DetectorKind>(test.param))) +
                                  "_in_" + name_of(std::get<TrackedPlace>(test.param)) + "_seed_" +
                                  std::to_string(std::get<uint64_t>(test.param));
                         });

TEST_P(RandomWriters, ThatNeverStopLoseNoChange) {
  const auto [kind, place, seed] = GetParam();
  if (!PlacedFile::missing(place).empty()) GTEST_SKIP() << PlacedFile::missing(place);
  const WatchedRegion region(place, kGeometry);
  const Watched watched = region.watched();
  const DetectorVerdict verdict = judge_detector(kind, watched);
  if (!verdict.problem.empty()) GTEST_SKIP() << verdict.problem;
  const auto detector = open_detector(kind, watched, verdict.sees);

  std::atomic<unsigned> resting = 0;
  std::atomic<uint64_t> operations = 0;
  std::barrier rest(kWriters + 1), go_on(kWriters + 1);
  std::vector<std::jthread> writers;
  for (unsigned number = 0; number < kWriters; ++number)
    writers.emplace_back([&, number] {
      RandomWriter writer(region, seed, number, operations_for(verdict.sees, place));
      for (unsigned i = 0; i < kRests; ++i) {
        for (unsigned operation = 0; operation < kOperationsPerRest; ++operation, ++operations)
          writer.operate();
        ++resting;
        rest.arrive_and_wait();
        go_on.arrive_and_wait();
      }
    });

  CopyingSender sender(kGeometry.size_bytes);
  for (unsigned i = 0; i < kRests; ++i) {
    for (uint64_t looked_at = 0; resting < kWriters * (i + 1);) {
      if (operations < looked_at + kOperationsPerLook) {
        std::this_thread::yield();
        continue;
      }
      looked_at = operations;
      sender.round(*detector, watched);
    }
    rest.arrive_and_wait();
    sender.round(*detector, watched);
    const auto difference = sender.first_difference(watched);
    EXPECT_EQ(difference, std::nullopt) << "rest " << i;
    go_on.arrive_and_wait();
    if (difference) break;
  }
}

// The file at a path, opened and mapped by one of several.
struct OpenedFile {
  explicit OpenedFile(const std::string& at_path)
      : path(at_path),
        file(FileDescriptor::open(path, O_RDWR)),
        mapping(Mapping::shared(file, kGeometry.size_bytes)) {}
  Watched watched() const {
    return {.memory = mapping.bytes(), .geometry = kGeometry, .file = file.get(), .path = path};
  }
  std::string path;
  FileDescriptor file;
  Mapping mapping;
};

class Replacing : public testing::TestWithParam<std::tuple<DetectorKind, TrackedPlace>> {};

INSTANTIATE_TEST_SUITE_P(By, Replacing,
                         testing::Combine(testing::Values(DetectorKind::hash, DetectorKind::mtime,
                                                          DetectorKind::inotify),
                                          testing::Values(TrackedPlace::tmpfs, TrackedPlace::disk)),
                         [](const auto& test) {
                           return std::string(name_of(std::get<DetectorKind>(test.param))) +
                                  "_in_" + name_of(std::get<TrackedPlace>(test.param));
                         });

// As editors do: the region's file becomes another one under the same name, while
// writes go on. The sender maps it anew and opens another detector; the copy at the receiver stays.
TEST_P(Replacing, TheFileWhileWritersNeverStopLosesNoChange) {
  const auto [kind, place] = GetParam();
  if (!PlacedFile::missing(place).empty()) GTEST_SKIP() << PlacedFile::missing(place);
  const PlacedFile first(place, kGeometry.size_bytes);
  const std::string& path = first.path();
  constexpr unsigned kOperations = 4000 * kRests, kReplaceEvery = 500, kRestEvery = 5000;

  std::atomic<bool> resting = false;
  std::barrier rest(2), go_on(2);
  std::jthread writer([&] {
    SeededDraws draws(3);
    std::optional<OpenedFile> file(path);
    for (unsigned operation = 1; operation <= kOperations; ++operation) {
      const auto value = static_cast<std::byte>(draws.below(256));
      if (operation % kReplaceEvery == 0) {
        const std::vector<std::byte> bytes(kGeometry.size_bytes, value);
        const std::string other = path + ".new";
        write_all(FileDescriptor::open(other, O_CREAT | O_WRONLY).get(), bytes.data(), bytes.size(),
                  "writing another file");
        check(::rename(other.c_str(), path.c_str()), "replacing the file");
        file.emplace(path);
      }
      const auto at = static_cast<off_t>(draws.below(kGeometry.size_bytes));
      check(::pwrite(file->file.get(), &value, 1, at), "writing to the file");
      if (operation % kRestEvery == 0) {
        resting = true;
        rest.arrive_and_wait();
        go_on.arrive_and_wait();
      }
    }
  });

  std::optional<OpenedFile> file;
  std::unique_ptr<ChangeDetector> detector;
  CopyingSender sender(kGeometry.size_bytes);
  const auto look = [&] {
    if (detector == nullptr || look_at_file(file->watched()).is_replaced) {
      detector.reset();
      file.emplace(path);
      detector = open_detector(kind, file->watched(), {Writer::file_calls});
    }
    sender.round(*detector, file->watched());
  };
  for (unsigned i = 0; i < kOperations / kRestEvery; ++i) {
    while (!resting) look();
    rest.arrive_and_wait();
    resting = false;
    look();
    EXPECT_EQ(sender.first_difference(OpenedFile(path).watched()), std::nullopt) << "rest " << i;
    go_on.arrive_and_wait();
  }
}

}  // namespace
}  // namespace memsync
