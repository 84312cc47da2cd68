// What Linux does with mapped files, on which the detectors and everybody's choice of one rest.
#include <cstring>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>

#include "lib/detection/file_watching.h"
#include "lib/detection/watched_region.h"
#include "lib/os/userfault.h"

namespace memsync {
namespace {

constexpr Geometry kGeometry{.size_bytes = 64 * 4096, .chunk_bytes = 4096};

std::byte read_byte(int file, uint64_t offset) {
  std::byte byte{};
  check(::pread(file, &byte, 1, static_cast<off_t>(offset)), "reading the file");
  return byte;
}

class FileFacts : public testing::TestWithParam<TrackedPlace> {
 protected:
  void SetUp() override {
    if (!PlacedFile::missing(GetParam()).empty()) GTEST_SKIP() << PlacedFile::missing(GetParam());
    region_.emplace(GetParam(), kGeometry);
  }
  std::optional<WatchedRegion> region_;
};

INSTANTIATE_TEST_SUITE_P(Of, FileFacts,
                         testing::Values(TrackedPlace::memory_file, TrackedPlace::tmpfs,
                                         TrackedPlace::disk),
                         [](const auto& test) { return name_of(test.param); });

// M1, M3, Z8: msync(2) is about the disk, not about what others on this host read.
TEST_P(FileFacts, AStoreIsReadFromTheFileAtOnceWithoutMsync) {
  region_->store(5000, std::byte{42});
  EXPECT_EQ(read_byte(region_->file(), 5000), std::byte{42});
}

// Z10.
TEST_P(FileFacts, AWriteToTheFileIsReadThroughTheMappingAtOnce) {
  region_->store(5000, std::byte{1});  // the page is in the mapping already
  region_->call_pwrite(5000, std::byte{42});
  EXPECT_EQ(region_->bytes()[5000], std::byte{42});
}

// M2.
TEST_P(FileFacts, AStoreThroughAPrivateMappingNeverReachesTheFile) {
  void* mapped = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, region_->file(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  *static_cast<volatile std::byte*>(mapped) = std::byte{42};
  ASSERT_EQ(::msync(mapped, 4096, MS_SYNC), 0);
  EXPECT_EQ(read_byte(region_->file(), 0), std::byte{0});
  ::munmap(mapped, 4096);
}

// M4.
TEST_P(FileFacts, AMappingOfADirectDescriptorIsPageCachedAllTheSame) {
  const std::string path = "/proc/self/fd/" + std::to_string(region_->file());
  const FileDescriptor direct{::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)};
  if (!direct.is_open()) GTEST_SKIP() << "no O_DIRECT here: " << std::strerror(errno);
  const Mapping mapping = Mapping::shared(direct, 4096);
  mapping.bytes()[7] = std::byte{42};
  unsigned char resident = 0;
  ASSERT_EQ(::mincore(mapping.bytes().data(), 4096, &resident), 0);
  EXPECT_EQ(resident & 1, 1);
  EXPECT_EQ(read_byte(region_->file(), 7), std::byte{42}) << "read through the page cache";
}

// The events that `what` raises on the file, of all there are but opening and reading.
uint32_t events_of(int file, const std::function<void()>& what) {
  const FileDescriptor events{check(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify")};
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  check(::inotify_add_watch(events.get(), path.c_str(),
                            IN_ALL_EVENTS & ~static_cast<uint32_t>(IN_OPEN | IN_ACCESS)),
        "watching " + path);
  what();
  alignas(inotify_event) std::array<char, 4096> read;
  uint32_t mask = 0;
  const ssize_t got = ::read(events.get(), read.data(), read.size());
  for (ssize_t at = 0; at < got;) {
    const auto* event = reinterpret_cast<const inotify_event*>(&read[static_cast<size_t>(at)]);
    mask |= event->mask;
    at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
  }
  return mask;
}

// M5, Z63: there is no event of syncing, nor of storing.
TEST_P(FileFacts, InotifyReportsWritesAndNeitherStoresNorSyncs) {
  const int file = region_->file();
  if (GetParam() == TrackedPlace::memory_file && !memory_files_raise_events())
    GTEST_SKIP() << "this kernel reports no calls on anonymous memory files";
  EXPECT_EQ(events_of(file, [&] { region_->call_pwrite(0, std::byte{1}); }), uint32_t{IN_MODIFY});
  EXPECT_EQ(events_of(file, [&] { ASSERT_EQ(::fsync(file), 0); }), 0u);
  EXPECT_EQ(events_of(file,
                      [&] {
                        region_->store(5000, std::byte{1});
                        ASSERT_EQ(::msync(region_->bytes().data(), 8192, MS_SYNC), 0);
                        ASSERT_EQ(::fdatasync(file), 0);
                      }),
            0u);
  EXPECT_EQ(events_of(file, [&] { ASSERT_EQ(::ftruncate(file, 4096), 0); }) & IN_MODIFY,
            uint32_t{IN_MODIFY});
  EXPECT_EQ(events_of(file,
                      [&] {
                        ASSERT_EQ(
                            ::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
                            0);
                      }),
            uint32_t{IN_MODIFY});
}

timespec modified(int file) {
  struct stat status{};
  check(::fstat(file, &status), "looking at the file");
  return status.st_mtim;
}

bool is_later(const timespec& one, const timespec& other) {
  return std::pair(one.tv_sec, one.tv_nsec) > std::pair(other.tv_sec, other.tv_nsec);
}

// Whether the file's time moves for a store; the kernel's clock for stamps has ticked in between.
bool store_moves_time(const WatchedRegion& region, std::byte value) {
  const timespec before = modified(region.file());
  for (timespec now{}; !is_later(now, before);) ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  region.store(100, value);
  return is_later(modified(region.file()), before);
}

// M7, Z9: the time is set by the page fault that makes a page writable. On a disk msync(2) makes a
// page fault again; on tmpfs a page that was once touched, if only read, never does.
TEST_P(FileFacts, AStoreMovesTheTimeOnlyIfItFaultsWhichOnTmpfsMsyncDoesNotBringBack) {
  const bool disk = GetParam() == TrackedPlace::disk;
  EXPECT_TRUE(store_moves_time(*region_, std::byte{1}));
  EXPECT_FALSE(store_moves_time(*region_, std::byte{2}));
  ASSERT_EQ(::msync(region_->bytes().data(), 4096, MS_SYNC), 0);
  EXPECT_EQ(store_moves_time(*region_, std::byte{3}), disk);
  EXPECT_FALSE(store_moves_time(*region_, std::byte{4}));
}

// /proc/PID/task/TID/syscall begins with the number of the call that the thread waits in (proc(5)).
bool is_in_call(pid_t thread, long call) {
  const auto file =
      FileDescriptor::open("/proc/self/task/" + std::to_string(thread) + "/syscall", O_RDONLY);
  std::array<char, 64> text{};
  return ::read(file.get(), text.data(), text.size() - 1) > 0 &&
         std::string_view(text.data()).starts_with(std::to_string(call) + " ");
}

// A write(2) whose second page does not come stands between its stamp and its bytes: whoever
// believes the stamp then reads the bytes of before, and no later stamp tells.
TEST_P(FileFacts, MtimeIsNotFooledByAWriteThatHasStampedTheFileAndNotWrittenItYet) {
  if (!Userfault::problems({}).empty()) GTEST_SKIP() << Userfault::problems({}).front();
  const Watched watched = region_->watched();
  MtimeDetector detector(watched);
  bring_to_rest(detector, watched);

  const Mapping late = Mapping::anonymous(2 * 4096);
  const Mapping page = Mapping::anonymous(4096);
  std::ranges::fill(late.bytes().first(4096), std::byte{1});
  std::ranges::fill(page.bytes(), std::byte{2});
  const Userfault userfault = Userfault::open({});
  userfault.register_pages(late.page_span());
  std::jthread writer([&] { ::pwrite(region_->file(), late.bytes().data(), 2 * 4096, 0); });
  pollfd fault{userfault.descriptor().get(), POLLIN, 0};
  ASSERT_EQ(::poll(&fault, 1, -1), 1);  // the write has begun and waits for its second page
  const timespec stamp = modified(region_->file());
  for (timespec now{}; !is_later(now, stamp);) ::clock_gettime(CLOCK_REALTIME_COARSE, &now);

  std::atomic<pid_t> looking_thread = 0;
  std::atomic<bool> has_looked = false;
  std::vector<std::byte> copy(4096);
  std::jthread looking([&] {
    looking_thread = static_cast<pid_t>(::syscall(SYS_gettid));
    for (const ChunkIndex chunk : detector.take())
      if (chunk == 1) copy_chunk(watched, 1, copy);
    has_looked = true;
  });
  while (looking_thread == 0 || !(has_looked || is_in_call(looking_thread, SYS_lseek)))
    std::this_thread::yield();
  userfault.place(&late.bytes()[4096], page.bytes());
  writer.join();
  looking.join();
  for (const ChunkIndex chunk : detector.take())
    if (chunk == 1) copy_chunk(watched, 1, copy);
  EXPECT_EQ(copy[0], std::byte{2}) << "the change was lost";
}

}  // namespace
}  // namespace memsync
