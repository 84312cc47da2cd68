// Bytes that can't be had: nobody sleeps for ever, nobody reads anything else, and the rest goes
// on.
#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "approaches/userfaultfd/touch.h"
#include "lib/backend/stores.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSeed = 9;
constexpr uint64_t kMiB = 1 << 20;
const uint64_t kPage = page_bytes();

std::byte expected_at(uint64_t offset) {
  std::byte value;
  fill_content(ContentKind::random, kSeed, {&value, 1}, offset);
  return value;
}

// Each with the kernel's own poison and with what older kernels get, with a thread that handles the
// faults and in the touching thread.
class Failing : public testing::TestWithParam<std::tuple<Userfault::Poisoning, Handler>> {
 protected:
  void open(uint64_t size, Settings settings) {
    reader_ = std::make_unique<PatternReader>(ContentKind::random, kSeed, size);
    source_ = std::make_unique<ScriptedSource>(*reader_);
    mapping_ = Mapping::anonymous(size);
    settings.handler = std::get<Handler>(GetParam());
    Userfault::Wishes wishes = memory_wishes(settings);
    wishes.poisoning = std::get<Userfault::Poisoning>(GetParam());
    memory_ = std::make_unique<OwnMemory>(mapping_.bytes(), wishes);
    pager_ = std::make_unique<Pager>(*memory_, Geometry{.size_bytes = size, .chunk_bytes = 4096},
                                     settings, *source_);
  }
  ~Failing() override {
    if (pager_) pager_->stop();
    source_.reset();
  }
  std::optional<std::byte> touch(uint64_t offset) {
    return userfaultfd::touch(&mapping_.bytes()[offset]);
  }
  std::string failure() const {
    try {
      pager_->rethrow_failure();
    } catch (const std::system_error& problem) {
      return problem.what();
    }
    return "";
  }

  std::unique_ptr<PatternReader> reader_;
  std::unique_ptr<ScriptedSource> source_;
  Mapping mapping_;
  std::unique_ptr<OwnMemory> memory_;
  std::unique_ptr<Pager> pager_;
};

std::string name_of_case(const testing::TestParamInfo<Failing::ParamType>& test) {
  const auto [poisoning, handler] = test.param;
  return std::string(poisoning == Userfault::Poisoning::if_offered ? "poison_of_the_kernel"
                                                                   : "poison_by_mapping") +
         (handler == Handler::sigbus ? "_in_the_touching_thread" : "_by_a_thread");
}

INSTANTIATE_TEST_SUITE_P(Ways, Failing,
                         testing::Combine(testing::Values(Userfault::Poisoning::if_offered,
                                                          Userfault::Poisoning::by_mapping),
                                          testing::Values(Handler::poll, Handler::sigbus)),
                         name_of_case);

// Defect xU3: an error of the source left the faulting thread asleep for ever.
TEST_P(Failing, SourceEndsInSigbusForThatPageAloneAndANamedError) {
  open(4 * kMiB, {});
  const uint64_t kBad = 2 * kMiB + 5 * kPage + 9;
  source_->fail_at(kBad, std::errc::io_error);
  EXPECT_EQ(touch(kBad), std::nullopt);
  EXPECT_EQ(touch(kBad + 50), std::nullopt) << "the same page, later";
  EXPECT_EQ(touch(kBad - kPage), expected_at(kBad - kPage)) << "a page of the same unit";
  EXPECT_EQ(touch(kBad + kPage), expected_at(kBad + kPage));
  for (uint64_t offset = 0; offset < 4 * kMiB; offset += kPage)
    if (offset / kPage != kBad / kPage) {
      ASSERT_EQ(touch(offset), expected_at(offset)) << offset;
    }
  EXPECT_EQ(failure(), "fetching " + std::to_string(kPage) + " bytes at offset " +
                           std::to_string(kBad / kPage * kPage) +
                           " of the region: Input/output error");
  EXPECT_EQ(pager_->lost(), (std::vector<ByteRange>{{kBad / kPage * kPage, kPage}}));
}

TEST_P(Failing, SourceInReadAheadHarmsOnlyWhoTouchesThePage) {
  open(4 * kMiB, {});
  source_->fail_at(200 * 1024, std::errc::io_error);
  EXPECT_EQ(touch(0), expected_at(0));
  source_->wait_for_requests(Urgency::background, 4);
  EXPECT_EQ(touch(130 * 1024), expected_at(130 * 1024));
  EXPECT_EQ(failure(), "") << "nobody has touched the page";
  EXPECT_EQ(touch(200 * 1024), std::nullopt);
  EXPECT_NE(failure(), "");
}

TEST_P(Failing, ToAnswerInTimeEndsInSigbusAtTheDeadline) {
  open(kMiB, {.prefetch = Prefetch::none, .deadline = 50ms});
  source_->hold(Urgency::demand);
  const auto start = Clock::now();
  EXPECT_EQ(touch(0), std::nullopt);
  EXPECT_GE(Clock::now() - start, 50ms);
  EXPECT_NE(failure().find("timed out"), std::string::npos) << failure();
  source_->let_go();
  EXPECT_EQ(touch(900 * 1024), expected_at(900 * 1024)) << "other pages are still served";
}

TEST_P(Failing, ByDyingReleasesEveryThreadThatWaits) {
  open(8 * kMiB, {});
  EXPECT_EQ(touch(kMiB), expected_at(kMiB));
  source_->hold(Urgency::demand);
  source_->hold(Urgency::background);
  std::vector<std::jthread> threads;
  for (uint64_t number = 2; number < 8; ++number)
    threads.emplace_back([this, number] { EXPECT_EQ(touch(number * kMiB), std::nullopt); });
  source_->wait_for_requests(Urgency::demand, 1 + 6);
  source_->die();
  threads.clear();
  EXPECT_EQ(touch(kMiB), expected_at(kMiB)) << "what has come stays";
  EXPECT_EQ(touch(0), std::nullopt);
}

TEST_P(Failing, WhileEverythingIsPulledCountsTheLostBytes) {
  open(2 * kMiB + 100, {});
  source_->fail_at(kMiB, std::errc::io_error);
  source_->fail_at(2 * kMiB + 50, std::errc::io_error);
  pager_->pull(1, after(20s), {});
  EXPECT_EQ(pager_->lost(), (std::vector<ByteRange>{{kMiB, kPage}, {2 * kMiB, 100}}));
  EXPECT_EQ(touch(kMiB), std::nullopt);
  EXPECT_EQ(touch(2 * kMiB + 99), std::nullopt);
  EXPECT_EQ(touch(kMiB + kPage), expected_at(kMiB + kPage));
  EXPECT_EQ(pager_->statistics().chunks_local, (2 * kMiB) / 4096 - 16)
      << "the unit that lost a page";
}

TEST_P(Failing, IsToldBeforeTheRegionIsTakenOver) {
  open(kMiB, {.prefetch = Prefetch::none});
  source_->fail_at(0, std::errc::io_error);
  EXPECT_EQ(touch(0), std::nullopt);
  pager_->hold();
  constexpr ByteRange kAll[] = {{0, kMiB}};
  EXPECT_THROW(pager_->go_on_without(kAll), std::system_error);
  pager_->go_on();
  EXPECT_EQ(touch(2 * kPage), expected_at(2 * kPage));
}

TEST_P(Failing, WhileTheOwnerChangesIsAskedAgainAfterwards) {
  open(kMiB, {.prefetch = Prefetch::none, .deadline = 20ms});
  source_->hold(Urgency::demand);
  pager_->hold();
  std::jthread thread([this] { EXPECT_EQ(touch(0), expected_at(0)); });
  while (*pager_->statistics().faults == 0) std::this_thread::yield();
  source_->let_go();
  constexpr ByteRange kAll[] = {{0, kMiB}};
  pager_->go_on_without(kAll);
}

TEST_P(Failing, IsWhatTheDestructorMakesOfThreadsThatStillWait) {
  open(8 * kMiB, {.prefetch = Prefetch::none});
  source_->hold(Urgency::demand);
  std::vector<std::jthread> threads;
  for (uint64_t number = 0; number < 6; ++number)
    threads.emplace_back([this, number] { EXPECT_EQ(touch(number * kMiB), std::nullopt); });
  source_->wait_for_requests(Urgency::demand, 6);
  pager_->stop();
  source_.reset();
  threads.clear();  // ended, and none of them by zeros
}

TEST(Userfault, OfAForkedChildIsNoRegionAtAll) {
  PatternReader reader(ContentKind::random, kSeed, kMiB);
  ScriptedSource source(reader);
  const Mapping mapping = Mapping::anonymous(kMiB);
  const OwnMemory memory(mapping.bytes());
  const auto touch_in_child = [&] {
    ::signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would exit instead
    static_cast<void>(*const_cast<volatile std::byte*>(mapping.bytes().data()));
  };
  EXPECT_EXIT(touch_in_child(), testing::KilledBySignal(SIGSEGV), "");
}

}  // namespace
}  // namespace memsync::userfaultfd
