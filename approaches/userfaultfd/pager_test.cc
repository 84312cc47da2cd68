// Pages that come when they are touched: real userfaults, a source in this process.
#include "approaches/userfaultfd/pager.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <latch>
#include <sys/mman.h>
#include <thread>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "approaches/userfaultfd/touch.h"
#include "lib/backend/stores.h"
#include "lib/os/mapping.h"
#include "lib/region/digest.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSeed = 7;
constexpr uint64_t kMiB = 1 << 20;
const uint64_t kPage = page_bytes();

// A region whose bytes are at a scripted source.
class Pulled {
 public:
  Pulled(Reader& reader, const Settings& settings)
      : source(std::make_unique<ScriptedSource>(reader)),
        mapping(Mapping::anonymous(reader.size_bytes())),
        memory(mapping.bytes(), memory_wishes(settings)),
        pager(memory, {.size_bytes = reader.size_bytes(), .chunk_bytes = 4096}, settings, *source) {
  }
  ~Pulled() {
    pager.stop();
    source.reset();
  }
  std::span<std::byte> bytes() const { return mapping.bytes(); }

  std::unique_ptr<ScriptedSource> source;
  Mapping mapping;
  OwnMemory memory;
  Pager pager;
};

PatternReader pattern(uint64_t size) {
  return {ContentKind::random, kSeed, size};
}

Digest digest_of_pattern(uint64_t size) {
  std::vector<std::byte> expected(size);
  fill_content(ContentKind::random, kSeed, expected, 0);
  return digest_of(expected);
}

std::byte expected_at(uint64_t offset) {
  std::byte value;
  fill_content(ContentKind::random, kSeed, {&value, 1}, offset);
  return value;
}

constexpr Settings kDemandOnly{.prefetch = Prefetch::none};
const Settings kOnePage{.prefetch = Prefetch::none, .unit_bytes = kPage};

class WholeRead : public testing::TestWithParam<std::tuple<uint64_t, Settings>> {};

TEST_P(WholeRead, GivesTheSourcesBytesAndZerosBehindThem) {
  const auto [size, settings] = GetParam();
  PatternReader reader = pattern(size);
  Pulled pulled(reader, settings);
  EXPECT_EQ(digest_of(pulled.bytes()), digest_of_pattern(size));
  const auto pages = pulled.mapping.page_span();
  EXPECT_TRUE(std::all_of(pages.begin() + static_cast<ptrdiff_t>(size), pages.end(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
  const Statistics statistics = pulled.pager.statistics();
  EXPECT_EQ(statistics.chunks_local, (size + 4095) / 4096);
  EXPECT_GE(*statistics.payload_received, size);
  EXPECT_NO_THROW(pulled.pager.rethrow_failure());
}

std::string name_of_case(const testing::TestParamInfo<WholeRead::ParamType>& test) {
  const auto& [size, settings] = test.param;
  return std::to_string(size) + "_in_units_of_" + std::to_string(settings.unit_bytes) +
         (settings.prefetch == Prefetch::none ? "_on_demand" : "_ahead");
}

INSTANTIATE_TEST_SUITE_P(Sizes, WholeRead,
                         testing::Combine(testing::Values(1, kPage - 1, kPage, kPage + 1,
                                                          kMiB + 123, 64 << 10, 8 * kMiB),
                                          testing::Values(Settings{}, kDemandOnly, kOnePage,
                                                          Settings{.unit_bytes = kPage},
                                                          Settings{.unit_bytes = kMiB,
                                                                   .window_bytes = kMiB})),
                         name_of_case);

TEST(Pager, OfOnePageUnitsTakesOneFaultPerPageAndNoneAtTheSecondTouch) {
  constexpr uint64_t kPages = 300;
  PatternReader reader = pattern(kPages * kPage);
  Pulled pulled(reader, kOnePage);
  for (int round = 0; round < 2; ++round)
    for (uint64_t page = 0; page < kPages; ++page)
      EXPECT_EQ(pulled.bytes()[page * kPage + 5], expected_at(page * kPage + 5));
  EXPECT_EQ(pulled.pager.statistics().faults, kPages);
  EXPECT_EQ(pulled.pager.statistics().payload_received, kPages * kPage);
  EXPECT_EQ(pulled.pager.statistics().window_bytes, kPage);
}

TEST(Pager, ReadsAheadOfASequentialReader) {
  constexpr uint64_t kSize = 32 * kMiB;
  PatternReader reader = pattern(kSize);
  Pulled pulled(reader, {});
  EXPECT_EQ(digest_of(pulled.bytes()), digest_of_pattern(kSize));
  const Statistics statistics = pulled.pager.statistics();
  EXPECT_GT(*statistics.chunks_prefetched, 0u);
  EXPECT_LE(*statistics.payload_received, kSize + kSize / 10) << "asked for much twice";
  EXPECT_LE(*statistics.window_bytes, 16 * kMiB + 2 * (64 << 10));
}

TEST(Pager, ServesEightThreadsThatReadAtRandom) {
  constexpr uint64_t kSize = 16 * kMiB + 77;
  PatternReader reader = pattern(kSize);
  Pulled pulled(reader, {});
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::vector<std::jthread> threads;
  for (uint64_t number = 0; number < 8; ++number)
    threads.emplace_back([&, number] {
      SeededDraws draws(kSeed + number);
      for (int i = 0; i < 400; ++i) {
        const uint64_t offset = draws.below(kSize);
        ASSERT_EQ(pulled.bytes()[offset], expected_at(offset)) << offset;
      }
    });
}

TEST(Pager, AsksAnythingThatHasReadAtAndASizeAndNothingElse) {
  class TenLines : public Reader {
   public:
    void read_at(std::span<std::byte> into, uint64_t offset) override {
      for (auto& value : into) value = static_cast<std::byte>(offset++ / kPage);
    }
    uint64_t size_bytes() const override { return 200 * kPage; }
  } reader;
  Pulled pulled(reader, {});
  for (uint64_t page = 0; page < 200; ++page)
    EXPECT_EQ(pulled.bytes()[page * kPage + 17], static_cast<std::byte>(page));
}

TEST(Pager, KeepsWhatTheApplicationWroteToAPageItHadPulled) {
  PatternReader reader = pattern(kMiB);
  Pulled pulled(reader, kDemandOnly);
  pulled.bytes()[100] = std::byte{1};
  EXPECT_EQ(pulled.bytes()[100], std::byte{1});
  EXPECT_EQ(pulled.bytes()[101], expected_at(101));
}

TEST(Pager, BringsAPageAgainThatTheApplicationDropped) {
  PatternReader reader = pattern(kMiB);
  Pulled pulled(reader, kDemandOnly);
  EXPECT_EQ(pulled.bytes()[kPage + 1], expected_at(kPage + 1));
  ASSERT_EQ(::madvise(pulled.bytes().data(), 4 * kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(pulled.bytes()[kPage + 1], expected_at(kPage + 1));
  EXPECT_EQ(pulled.bytes()[3 * kPage], expected_at(3 * kPage));
}

// Defect xU1: a page that is already there when its copy arrives ended the handler.
TEST(Pager, TakesAPageThatIsAlreadyThereForAnOrdinaryDay) {
  PatternReader reader = pattern(8 * kMiB);
  Pulled pulled(reader, {});
  pulled.source->hold(Urgency::background);
  EXPECT_EQ(pulled.bytes()[0], expected_at(0));
  pulled.source->wait_for_requests(Urgency::background, 1);
  // A reader that follows far enough behind to be promoted makes the answers come twice.
  std::jthread reader_thread([&] {
    for (uint64_t offset = 0; offset < 8 * kMiB; offset += kPage)
      ASSERT_EQ(pulled.bytes()[offset], expected_at(offset));
  });
  pulled.source->let_go();
  reader_thread.join();
  // And the plainest form: two copies of one page.
  const auto userfault = Userfault::open({});
  const Mapping mapping = Mapping::anonymous(3 * kPage);
  const Mapping staging = Mapping::anonymous(3 * kPage);
  userfault.register_pages(mapping.page_span());
  staging.bytes()[kPage] = std::byte{1};
  userfault.place(&mapping.bytes()[kPage], staging.bytes().subspan(kPage, kPage));
  staging.bytes()[kPage] = staging.bytes()[2 * kPage] = std::byte{2};
  userfault.place(mapping.bytes().data(), staging.bytes());
  EXPECT_EQ(mapping.bytes()[kPage], std::byte{1}) << "overwrote a page that was present";
  EXPECT_EQ(mapping.bytes()[2 * kPage], std::byte{2}) << "stopped at the page that was present";
}

// Defect xU5: one fault at a time.
TEST(Pager, HasTheFaultsOfSeveralThreadsInFlightAtOnce) {
  PatternReader reader = pattern(8 * kMiB);
  Pulled pulled(reader, kDemandOnly);
  pulled.source->hold(Urgency::demand);
  std::vector<std::jthread> threads;
  for (uint64_t number = 0; number < 6; ++number)
    threads.emplace_back(
        [&, number] { EXPECT_EQ(pulled.bytes()[number * kMiB], expected_at(number * kMiB)); });
  while (*pulled.pager.statistics().faults < 6) std::this_thread::yield();  // none is answered yet
  pulled.source->let_go();
  threads.clear();
  EXPECT_EQ(pulled.pager.statistics().window_bytes, 6u * (64 << 10));
}

TEST(Pager, DoesNotAskTwiceForAUnitThatTwoThreadsTouch) {
  PatternReader reader = pattern(kMiB);
  Pulled pulled(reader, kDemandOnly);
  pulled.source->hold(Urgency::demand);
  std::vector<std::jthread> threads;
  for (uint64_t page = 0; page < 4; ++page)
    threads.emplace_back(
        [&, page] { EXPECT_EQ(pulled.bytes()[page * kPage], expected_at(page * kPage)); });
  while (pulled.pager.statistics().faults < 4u) std::this_thread::yield();
  pulled.source->let_go();
  threads.clear();
  EXPECT_EQ(pulled.pager.statistics().payload_received, 64u << 10);
}

TEST(Pager, AsksAgainAheadOfTheQueueForAUnitThatIsFarBackInIt) {
  PatternReader reader = pattern(64 * kMiB);
  Pulled pulled(reader, {.unit_bytes = 64 << 10});
  EXPECT_EQ(pulled.bytes()[0], expected_at(0));
  while (*pulled.pager.statistics().chunks_local < 5 * 16u) std::this_thread::yield();
  pulled.source->hold(Urgency::background);
  std::jthread puller([&] { pulled.pager.pull(1, after(20s), {}); });
  pulled.source->wait_for_requests(Urgency::background, 4 + 8);
  // 512 KiB at least are queued and held; the last of them is reached all the same.
  const uint64_t offset = (5 + 7) * (64 << 10);
  EXPECT_EQ(pulled.bytes()[offset], expected_at(offset));
  pulled.source->let_go();
  puller.join();
  EXPECT_EQ(digest_of(pulled.bytes()), digest_of_pattern(64 * kMiB));
}

TEST(Pager, PullsEverythingWithoutAnyTouch) {
  constexpr uint64_t kSize = 8 * kMiB + 4097;
  PatternReader reader = pattern(kSize);
  Pulled pulled(reader, kDemandOnly);
  pulled.pager.pull(1, after(20s), {});
  EXPECT_EQ(pulled.pager.statistics().faults, 0u);
  EXPECT_EQ(pulled.pager.statistics().payload_received, kSize);
  EXPECT_EQ(digest_of(pulled.bytes()), digest_of_pattern(kSize));
}

TEST(Pager, SaysHowMuchIsMissingWhenTheDeadlineComesFirst) {
  PatternReader reader = pattern(4 * kMiB);
  Pulled pulled(reader, kDemandOnly);
  pulled.source->hold(Urgency::background);
  try {
    pulled.pager.pull(1, after(20ms), {});
    FAIL() << "pulled bytes that nobody sent";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code(), std::errc::timed_out);
    EXPECT_NE(std::string(problem.what()).find("64 of 64 units"), std::string::npos)
        << problem.what();
  }
  pulled.source->let_go();
  EXPECT_NO_THROW(pulled.pager.pull(1, after(20s), {}));
}

TEST(Pager, ForgetsWhatCameBeforeAChangeOfOwner) {
  MemoryBackend store(kMiB);
  Pulled pulled(store, kDemandOnly);
  EXPECT_EQ(pulled.bytes()[0], std::byte{0});
  pulled.pager.hold();
  store.mapping()[0] = std::byte{5};  // written at the source after the page was pulled
  std::latch touched{1};
  std::jthread waiting([&] {
    touched.count_down();
    EXPECT_EQ(pulled.bytes()[kMiB - 1], std::byte{6});
  });
  touched.wait();
  while (pulled.pager.statistics().faults < 2u) std::this_thread::yield();
  store.mapping()[kMiB - 1] = std::byte{6};
  constexpr ByteRange kAll[] = {{0, kMiB}};
  pulled.pager.go_on_without(kAll);
  EXPECT_EQ(pulled.bytes()[0], std::byte{5});
}

}  // namespace
}  // namespace memsync::userfaultfd
