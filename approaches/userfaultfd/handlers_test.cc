// Every way to answer a fault, against the same content, and what the kernel reports beside faults.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <thread>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "approaches/userfaultfd/thread_faults.h"
#include "approaches/userfaultfd/touch.h"
#include "lib/backend/stores.h"
#include "lib/os/mapping.h"
#include "lib/region/digest.h"
#include "lib/transport/local_region.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSeed = 11;
constexpr uint64_t kSize = 6 * (1 << 20) + 321;
const uint64_t kPage = page_bytes();

Digest digest_of_pattern() {
  std::vector<std::byte> expected(kSize);
  fill_content(ContentKind::random, kSeed, expected, 0);
  return digest_of(expected);
}

// Where the bytes are: read by another thread, or lent by this process.
enum class From : uint8_t { elsewhere, at_hand };

class Handling : public testing::TestWithParam<std::tuple<Settings, From>> {
 protected:
  Handling() : mapping_(Mapping::anonymous(kSize)) {
    const auto& [settings, from] = GetParam();
    fill_content(ContentKind::random, kSeed, store_.mapping(), 0);
    if (from == From::at_hand)
      source_ = std::make_unique<LocalRegion>(store_, nullptr, RegionId{}, LocalRegion::Hooks{});
    else
      source_ = std::make_unique<ScriptedSource>(store_);
    memory_ = std::make_unique<OwnMemory>(mapping_.bytes(), memory_wishes(settings));
    pager_ = std::make_unique<Pager>(*memory_, Geometry{.size_bytes = kSize, .chunk_bytes = 4096},
                                     settings, *source_);
  }
  ~Handling() override {
    pager_->stop();
    source_.reset();
  }
  std::span<std::byte> bytes() const { return mapping_.bytes(); }

  MemoryBackend store_{kSize};
  std::unique_ptr<RegionService> source_;
  Mapping mapping_;
  std::unique_ptr<OwnMemory> memory_;
  std::unique_ptr<Pager> pager_;
};

Settings with(Handler handler, unsigned handlers, Prefetch prefetch, uint64_t unit) {
  Settings settings;
  settings.handler = handler;
  settings.handlers = handlers;
  settings.prefetch = prefetch;
  settings.unit_bytes = unit;
  return settings;
}

std::string name_of_case(const testing::TestParamInfo<Handling::ParamType>& test) {
  const auto& [settings, from] = test.param;
  return std::string(settings.handler == Handler::sigbus ? "sigbus"
                     : settings.handler == Handler::spin ? "spin"
                                                         : "poll") +
         std::to_string(settings.handlers) +
         (settings.prefetch == Prefetch::none ? "_demand_" : "_ahead_") +
         std::to_string(settings.unit_bytes) + (from == From::at_hand ? "_at_hand" : "");
}

INSTANTIATE_TEST_SUITE_P(
    Ways, Handling,
    testing::Combine(testing::Values(with(Handler::poll, 1, Prefetch::none, kPage),
                                     with(Handler::poll, 4, Prefetch::none, kPage),
                                     with(Handler::poll, 4, Prefetch::window, 65536),
                                     with(Handler::spin, 1, Prefetch::none, 65536),
                                     with(Handler::sigbus, 1, Prefetch::none, kPage),
                                     with(Handler::sigbus, 1, Prefetch::window, 262144)),
                     testing::Values(From::elsewhere, From::at_hand)),
    name_of_case);

TEST_P(Handling, BringsEveryByteToOneReader) {
  EXPECT_EQ(digest_of(bytes()), digest_of_pattern());
  const auto pages = mapping_.page_span();
  EXPECT_TRUE(std::ranges::all_of(pages.subspan(kSize), [](auto b) { return b == std::byte{0}; }));
  EXPECT_EQ(*pager_->statistics().chunks_local, (kSize + 4095) / 4096);
  EXPECT_NO_THROW(pager_->rethrow_failure());
}

TEST_P(Handling, BringsEveryByteToEightThreads) {
  std::vector<std::jthread> threads;
  for (uint64_t number = 0; number < 8; ++number)
    threads.emplace_back([this, number] {
      for (uint64_t page = number; page * kPage < kSize; page += 7)  // every page by several
        static_cast<void>(*static_cast<volatile std::byte*>(&bytes()[page * kPage]));
    });
  threads.clear();
  EXPECT_EQ(digest_of(bytes()), digest_of_pattern());
}

TEST_P(Handling, TakesWritesAtTheFirstTouch) {
  for (uint64_t offset = 0; offset < kSize; offset += kPage) bytes()[offset] = std::byte{1};
  std::vector<std::byte> expected(kSize);
  fill_content(ContentKind::random, kSeed, expected, 0);
  for (uint64_t offset = 0; offset < kSize; offset += kPage) expected[offset] = std::byte{1};
  EXPECT_EQ(digest_of(bytes()), digest_of(expected));
}

TEST_P(Handling, IsNeededByTheFirstPassAlone) {
  const auto pass = [this] {
    for (uint64_t offset = 0; offset < kSize; offset += 4096)
      static_cast<void>(*static_cast<volatile std::byte*>(&bytes()[offset]));
  };
  pass();
  const auto userfaults = pager_->statistics().faults;
  EXPECT_GT(userfaults, 0u);
  const ThreadFaults before = ThreadFaults::now();
  pass();
  EXPECT_EQ((ThreadFaults::now() - before).major, 0u);
  EXPECT_EQ(pager_->statistics().faults, userfaults);
}

TEST_P(Handling, BringsADroppedPageAgain) {
  EXPECT_EQ(digest_of(bytes()), digest_of_pattern());
  ASSERT_EQ(::madvise(bytes().data(), 1 << 20, MADV_DONTNEED), 0);
  EXPECT_EQ(digest_of(bytes()), digest_of_pattern());
}

TEST_P(Handling, PassesOverWhatTheApplicationUnmapped) {
  // Mapped over, so that nobody else's memory comes to lie where the fixture will unmap.
  ASSERT_NE(::mmap(&bytes()[1 << 20], 3 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                   -1, 0),
            MAP_FAILED);
  pager_->pull(1, after(20s), {});
  EXPECT_NO_THROW(pager_->rethrow_failure());
  EXPECT_EQ(bytes()[0], store_.mapping()[0]);
  EXPECT_EQ(bytes()[(1 << 20) + 3 * kPage], store_.mapping()[(1 << 20) + 3 * kPage]);
}

TEST_P(Handling, RefusesToFollowAMoveByName) {
  const Mapping elsewhere = Mapping::anonymous(1 << 20);
  void* moved =
      ::mremap(bytes().data(), 1 << 20, 1 << 20, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
               elsewhere.bytes().data());
  ASSERT_NE(moved, MAP_FAILED);
  EXPECT_EQ(touch(elsewhere.bytes().data()), std::nullopt) << "read zeros where bytes belong";
  const auto is_parked = [this] {
    try {
      pager_->rethrow_failure();
      return false;
    } catch (const std::system_error&) {
      return true;
    }
  };
  while (!is_parked()) std::this_thread::yield();
  try {
    pager_->rethrow_failure();
    FAIL() << "parked nothing";
  } catch (const std::system_error& problem) {
    EXPECT_NE(std::string(problem.what()).find("moved"), std::string::npos) << problem.what();
  }
  // Nobody waits for ever on the second one.
  moved = ::mremap(&bytes()[2 << 20], 1 << 20, 1 << 20,
                   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, elsewhere.bytes().data());
  ASSERT_NE(moved, MAP_FAILED);
  EXPECT_EQ(touch(elsewhere.bytes().data()), std::nullopt);
}

// How many of this process's threads may run on CPU 0 alone.
int threads_on_cpu_0() {
  int count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line == "Cpus_allowed_list:\t0") ++count;
  }
  return count;
}

TEST(Handlers, RunOnTheCpuThatWasAskedFor) {
  if (std::thread::hardware_concurrency() < 2)
    GTEST_SKIP() << "one CPU: they could run nowhere else";
  ASSERT_EQ(threads_on_cpu_0(), 0);
  PatternReader reader(ContentKind::random, kSeed, 1 << 20);
  ScriptedSource source(reader);
  const Mapping mapping = Mapping::anonymous(1 << 20);
  OwnMemory memory(mapping.bytes());
  Settings settings = with(Handler::poll, 3, Prefetch::none, kPage);
  settings.handler_cpu = 0;
  Pager pager(memory, {.size_bytes = 1 << 20, .chunk_bytes = 4096}, settings, source);
  while (threads_on_cpu_0() < 3) std::this_thread::yield();  // each once it has begun
  EXPECT_EQ(threads_on_cpu_0(), 3);
  pager.stop();
}

}  // namespace
}  // namespace memsync::userfaultfd
