// Other readers than the source: a copy on the destination's host, an object on the web.
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <map>

#include "approaches/registry.h"
#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "lib/backend/http_reader.h"
#include "lib/backend/http_test_server.h"
#include "lib/backend/stores.h"
#include "lib/os/mutex.h"
#include "lib/region/digest.h"
#include "lib/transport/local_region.h"

namespace memsync {
void register_userfaultfd(std::vector<const SyncStrategy*>& strategies);
namespace userfaultfd {
namespace {

using namespace std::chrono_literals;
using Reads = LocalRegion::Reads;
constexpr uint64_t kSeed = 5;
constexpr uint64_t kMiB = 1 << 20;

std::vector<std::byte> seeded_bytes(uint64_t size) {
  std::vector<std::byte> bytes(size);
  fill_content(ContentKind::random, kSeed, bytes, 0);
  return bytes;
}

// A region whose pages come from a reader in this process.
class Local {
 public:
  Local(Reader& reader, const Settings& settings, Reads reads)
      : source_(std::make_unique<LocalRegion>(reader, nullptr, RegionId{}, LocalRegion::Hooks{},
                                              reads)),
        mapping_(Mapping::anonymous(reader.size_bytes())),
        memory_(mapping_.bytes()),
        pager_(memory_, {.size_bytes = reader.size_bytes(), .chunk_bytes = 4096}, settings,
               *source_) {}
  ~Local() {
    pager_.stop();
    source_.reset();
  }
  std::span<std::byte> bytes() const { return mapping_.bytes(); }

 private:
  std::unique_ptr<LocalRegion> source_;
  Mapping mapping_;
  OwnMemory memory_;
  Pager pager_;
};

// Notes what is asked of another reader. For tests.
class Logged : public Reader {
 public:
  explicit Logged(Reader& next) : next_(next) {}
  void read_at(std::span<std::byte> into, uint64_t offset) override {
    {
      MutexLock lock(mutex_);
      ranges_.push_back({offset, into.size()});
    }
    next_.read_at(into, offset);
  }
  uint64_t size_bytes() const override { return next_.size_bytes(); }
  std::vector<ByteRange> ranges() {
    MutexLock lock(mutex_);
    return ranges_;
  }

 private:
  Reader& next_;
  Mutex mutex_;
  std::vector<ByteRange> ranges_ GUARDED_BY(mutex_);
};

class AnyReader : public testing::TestWithParam<std::tuple<Reads, Settings>> {};

// Requirement U6.
TEST_P(AnyReader, IsAskedForWholePagesOnlyButForTheTail) {
  const auto [reads, settings] = GetParam();
  constexpr uint64_t kSize = 3 * kMiB + 4096 + 123;
  PatternReader pattern(ContentKind::random, kSeed, kSize);
  Logged reader(pattern);
  {
    const Local local(reader, settings, reads);
    EXPECT_EQ(local.bytes()[2 * kMiB + 5], seeded_bytes(kSize)[2 * kMiB + 5]);
    EXPECT_EQ(digest_of(local.bytes()), digest_of(seeded_bytes(kSize)));
  }
  bool saw_the_tail = false;
  for (const ByteRange& range : reader.ranges()) {
    EXPECT_EQ(range.offset % page_bytes(), 0u);
    const bool is_tail = range.offset + range.length == kSize;
    saw_the_tail |= is_tail;
    EXPECT_TRUE(is_tail || range.length % page_bytes() == 0)
        << range.length << " at " << range.offset;
  }
  EXPECT_TRUE(saw_the_tail);
}

INSTANTIATE_TEST_SUITE_P(
    Settings, AnyReader,
    testing::Combine(testing::Values(Reads::pooled, Reads::demand_at_once),
                     testing::Values(Settings{}, Settings{.prefetch = Prefetch::none},
                                     Settings{.prefetch = Prefetch::none, .unit_bytes = 4096},
                                     Settings{.unit_bytes = 4096})),
    [](const auto& test) {
      const Settings& settings = std::get<1>(test.param);
      return std::string(std::get<0>(test.param) == Reads::pooled ? "pooled" : "at_once") +
             (settings.prefetch == Prefetch::none ? "_on_demand_" : "_ahead_") +
             std::to_string(settings.unit_bytes);
    });

TEST(LocalReader, ServesEightThreadsThatReadAtRandomWhileItReadsAhead) {
  constexpr uint64_t kSize = 16 * kMiB + 77;
  const auto expected = seeded_bytes(kSize);
  PatternReader reader(ContentKind::random, kSeed, kSize);
  const Local local(reader, {}, Reads::demand_at_once);
  std::vector<std::jthread> threads;
  for (uint64_t number = 0; number < 8; ++number)
    threads.emplace_back([&, number] {
      SeededDraws draws(number);
      for (int i = 0; i < 400; ++i) {
        const uint64_t offset = draws.below(kSize);
        ASSERT_EQ(local.bytes()[offset], expected[offset]) << offset;
      }
    });
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  file >> total >> resident;
  return resident * page_bytes();
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MEMSYNC_TSAN  // keeps several bytes of its own for each that is read
#endif
#endif

// Requirement U7.
TEST(LocalReader, ThatComputesItsBytesStoresNone) {
#ifdef MEMSYNC_TSAN
  GTEST_SKIP() << "ThreadSanitizer's own memory grows with what is read";
#endif
  constexpr uint64_t kSize = 64 * kMiB;
  PatternReader reader(ContentKind::random, kSeed, kSize);
  const Local local(reader, {.window_bytes = kMiB}, Reads::demand_at_once);
  std::vector<std::byte> expected(4096);
  const uint64_t before = resident_bytes();
  for (uint64_t page = 0; page < kSize / 4096; ++page) {
    fill_content(ContentKind::random, kSeed, expected, page * 4096);
    ASSERT_EQ(std::memcmp(&local.bytes()[page * 4096], expected.data(), 4096), 0) << page;
  }
  const uint64_t grown = resident_bytes() - before;
  EXPECT_GE(grown, kSize) << "the region's own pages";
  EXPECT_LE(grown, kSize + kSize / 4) << "and what is in flight, but no second copy";
}

// UFFDIO_ZEROPAGE: the kernel's one page of zeros stands for each of them.
TEST(LocalReader, OfZerosTakesMemoryForWhatIsWrittenOnly) {
#ifdef MEMSYNC_TSAN
  GTEST_SKIP() << "ThreadSanitizer's own memory grows with what is read";
#endif
  constexpr uint64_t kSize = 64 * kMiB;
  PatternReader reader(ContentKind::zero, kSeed, kSize);
  const Local local(reader, {.window_bytes = kMiB}, Reads::demand_at_once);
  const uint64_t before = resident_bytes();
  for (uint64_t page = 0; page < kSize / 4096; ++page)
    ASSERT_EQ(local.bytes()[page * 4096], std::byte{0}) << page;
  local.bytes()[5 * 4096] = std::byte{7};
  EXPECT_EQ(local.bytes()[5 * 4096], std::byte{7});
  EXPECT_EQ(local.bytes()[6 * 4096], std::byte{0});
  EXPECT_LE(resident_bytes() - before, kSize / 4);
}

// Requirement U10.
TEST(WebReader, FetchesTheTouchedPagesAndNothingElse) {
  constexpr uint64_t kSize = 4 * kMiB + 100;
  const auto content = seeded_bytes(kSize);
  const test::HttpTestServer server(content);
  HttpReader reader(server.url("always/plain"));
  const Local local(reader, {.prefetch = Prefetch::none, .unit_bytes = 4096}, Reads::pooled);
  std::map<uint64_t, uint64_t> touched{{kSize / 4096 * 4096, 100}};  // the tail
  EXPECT_EQ(local.bytes()[kSize - 1], content[kSize - 1]);
  SeededDraws draws(kSeed);
  for (int i = 0; i < 40; ++i) {
    const uint64_t offset = draws.below(kSize / 4096 * 4096);
    EXPECT_EQ(local.bytes()[offset], content[offset]);
    touched[offset / 4096 * 4096] = 4096;
  }
  std::map<uint64_t, uint64_t> asked;
  const auto requests = server.requests();
  for (size_t i = 1; i < requests.size(); ++i) {  // the first one opened the object
    const auto [offset, length] = requests[i].range;
    EXPECT_TRUE(asked.emplace(offset, length).second) << "page at " << offset << " asked for twice";
  }
  EXPECT_EQ(asked, touched);
  for (const auto& [offset, length] : touched)
    EXPECT_EQ(digest_of(local.bytes().subspan(offset, length)),
              digest_of(std::span(content).subspan(offset, length)));
}

TEST(WebReader, GivesTheWholeObjectAndIsReadAhead) {
  constexpr uint64_t kSize = 3 * kMiB + 4099;
  const auto content = seeded_bytes(kSize);
  const test::HttpTestServer server(content);
  HttpReader reader(server.url("always/plain"));
  const Local local(reader, {}, Reads::pooled);
  EXPECT_EQ(digest_of(local.bytes()), digest_of(content));
}

// --- the approach's option ---------------------------------------------------------------------

const SyncStrategy& strategy() {
  static const auto kAll = [] {
    std::vector<const SyncStrategy*> all;
    register_userfaultfd(all);
    return all;
  }();
  return *kAll.front();
}

// A destination whose source does not exist.
class WithoutASource : public testing::Test {
 protected:
  std::unique_ptr<Side> open(std::function<std::unique_ptr<Reader>()> open_copy) {
    SideSetup setup;
    setup.geometry = {.size_bytes = kSize, .chunk_bytes = 4096};
    setup.store = std::make_unique<MemoryBackend>(kSize);
    setup.network = network_.get();
    setup.transport = &native_transport();
    setup.options = &options_;
    setup.open_copy = std::move(open_copy);
    return strategy().open_destination(std::move(setup));
  }
  static constexpr uint64_t kSize = 2 * kMiB + 1;
  const Options options_{strategy().info().options, {{"backend", "local"}}};
  const std::unique_ptr<Network> network_ = make_unix_network("destination0", "/nonexistent");
};

TEST_F(WithoutASource, ReadsTheCopyOnItsOwnHost) {
  const auto side = open([]() -> std::unique_ptr<Reader> {
    auto memory = std::make_unique<MemoryBackend>(kSize);
    memory->write_at(seeded_bytes(kSize), 0);
    return memory;
  });
  EXPECT_EQ(digest_of(side->region().memory), digest_of(seeded_bytes(kSize)));
  EXPECT_EQ(side->handover(), nullptr) << "there is no owner to take over from";
  EXPECT_EQ(side->statistics().chunks_local, (kSize + 4095) / 4096);
  EXPECT_EQ(network_->bytes_received(), 0u);
}

TEST_F(WithoutASource, SaysThatThereIsNoCopy) {
  EXPECT_THROW(open({}), std::invalid_argument);
}

}  // namespace
}  // namespace userfaultfd
}  // namespace memsync
