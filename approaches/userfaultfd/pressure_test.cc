// More memory than there is: pages that the kernel has evicted, and a region that never fits.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>

#include "approaches/userfaultfd/memory_limit.h"
#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "approaches/userfaultfd/two_hosts.h"
#include "lib/os/mapping.h"
#include "lib/os/userfault.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kRegion = 32 * kMiB;
constexpr uint64_t kLimit = kRegion / 2;
using Tracking = Userfault::WriteTracking;

// A region whose bytes are computed where they are asked for, and what its pages must hold: the
// content, but for a first byte of each page that was written.
class Pulled {
 public:
  explicit Pulled(uint64_t size, Tracking tracking = Tracking::none)
      : reader_(ContentKind::random, kSeed, size),
        source_(std::make_unique<ScriptedSource>(reader_)),
        mapping_(Mapping::anonymous(size)),
        memory_(mapping_.bytes(), {.tracking = tracking}),
        pager_(memory_, {.size_bytes = size, .chunk_bytes = page_bytes()}, one_page_units(),
               *source_) {}
  ~Pulled() {
    pager_.stop();
    source_.reset();
  }

  uint64_t page_count() const { return mapping_.bytes().size() / page_bytes(); }
  uint64_t received() const { return *pager_.statistics().payload_received; }
  std::set<uint64_t> take_written() {
    std::set<uint64_t> pages;
    for (const ByteRange& range : memory_.take_written())
      for (uint64_t at = range.offset; at < range.offset + range.length; at += page_bytes())
        pages.insert(at / page_bytes());
    return pages;
  }
  void write(const std::set<uint64_t>& pages, std::byte value) {
    for (const uint64_t page : pages) {
      mapping_.bytes()[page * page_bytes()] = value;
      written_[page] = value;
    }
  }
  // The number of pages that are not as they must be.
  uint64_t wrong_pages(uint64_t step = 1) const {
    std::vector<std::byte> expected(page_bytes());
    uint64_t wrong = 0;
    for (uint64_t page = 0; page < page_count(); page += step) {
      fill_content(ContentKind::random, kSeed, expected, page * page_bytes());
      if (const auto found = written_.find(page); found != written_.end())
        expected[0] = found->second;
      if (std::memcmp(&mapping_.bytes()[page * page_bytes()], expected.data(), page_bytes()) != 0)
        ++wrong;
    }
    return wrong;
  }

 private:
  static Settings one_page_units() {
    return {.prefetch = Prefetch::none, .unit_bytes = page_bytes()};
  }
  PatternReader reader_;
  std::unique_ptr<ScriptedSource> source_;
  Mapping mapping_;
  OwnMemory memory_;
  Pager pager_;
  std::map<uint64_t, std::byte> written_;
};

std::set<uint64_t> draw_pages(uint64_t seed, uint64_t count, uint64_t below) {
  SeededDraws draws(seed);
  std::set<uint64_t> pages;
  while (pages.size() < count) pages.insert(draws.below(below));
  return pages;
}

class WithSwap : public TwoHosts, public testing::WithParamInterface<Tracking> {
 protected:
  void SetUp() override {
    // Under a limit as tight as this the kernel may end the process while a disk is being written.
    if (!has_swap() || std::getenv("MEMSYNC_GUEST") == nullptr)
      GTEST_SKIP() << "needs swap as fast as memory, which the QEMU guests have";
    if (!limit_.problem().empty()) GTEST_SKIP() << limit_.problem();
    const auto problems = Userfault::problems({.tracking = GetParam()});
    if (!problems.empty()) GTEST_SKIP() << problems[0];
  }
  const MemoryLimit limit_{kLimit, Swap::allowed};
};

const char* name_of(Tracking tracking) {
  return tracking == Tracking::scan ? "scan" : tracking == Tracking::faults ? "faults" : "none";
}
INSTANTIATE_TEST_SUITE_P(Tracking, WithSwap,
                         testing::Values(Tracking::none, Tracking::scan, Tracking::faults),
                         [](const auto& test) { return name_of(test.param); });

// Requirement X10.
TEST_P(WithSwap, EvictedPagesComeBackRightAndNotFromTheSource) {
  const int status = limit_.run([] {
    Pulled pulled(kRegion, GetParam());
    EXPECT_EQ(pulled.wrong_pages(), 0u);
    EXPECT_GE(swapped_bytes(), kRegion - kLimit) << "the limit was none";
    EXPECT_EQ(pulled.received(), kRegion);
    EXPECT_EQ(pulled.wrong_pages(), 0u);
    EXPECT_EQ(pulled.received(), kRegion) << "asked the source for what was in swap";
  });
  EXPECT_EQ(status, 0);
}

TEST_P(WithSwap, WrittenPagesThatWereEvictedAreFoundAndNoOthers) {
  if (GetParam() == Tracking::none) GTEST_SKIP() << "nothing is tracked";
  const int status = limit_.run([] {
    SCOPED_TRACE("seeds 1 and 2");
    Pulled pulled(kRegion, GetParam());
    EXPECT_EQ(pulled.wrong_pages(), 0u);
    EXPECT_EQ(pulled.take_written(), std::set<uint64_t>{}) << "evicted pages pass for written";
    for (const uint64_t seed : {1UL, 2UL}) {
      const auto pages = draw_pages(seed, 500, pulled.page_count());
      pulled.write(pages, static_cast<std::byte>(seed));
      EXPECT_EQ(pulled.wrong_pages(), 0u);  // all of it passes through memory
      EXPECT_GE(swapped_bytes(), kRegion - kLimit);
      EXPECT_EQ(pulled.take_written(), pages);
      EXPECT_EQ(pulled.take_written(), std::set<uint64_t>{});
    }
  });
  EXPECT_EQ(status, 0);
}

TEST_P(WithSwap, WritesGoBackAndTheRegionIsHandedOver) {
  if (GetParam() == Tracking::none) GTEST_SKIP() << "nothing is tracked";
  const int status = limit_.run([this] {
    open_filled(kLimit, {{"track", name_of(GetParam())}, {"writes", "back"}, {"unit", "64KiB"}});
    std::vector<std::byte> expected(kLimit);
    fill_content(ContentKind::random, kSeed, expected, 0);
    const auto ours = destination_->region().memory;
    const auto theirs = source_->region().memory;
    EXPECT_EQ(digest_of(ours), digest_of(expected));
    for (const uint64_t page : draw_pages(3, 300, kLimit / page_bytes()))
      ours[page * page_bytes() + 7] = expected[page * page_bytes() + 7] = std::byte{1};
    EXPECT_EQ(digest_of(ours), digest_of(expected));
    EXPECT_GE(swapped_bytes(), 2 * kLimit);
    EXPECT_EQ(destination_->sync(after(60s))->payload_bytes, 300 * page_bytes());
    EXPECT_EQ(digest_of(theirs), digest_of(expected));
    destination_->handover()->finalize(after(60s));
    destination_->handover()->settle(after(60s));
    EXPECT_EQ(digest_of(ours), digest_of(expected));
  });
  EXPECT_EQ(status, 0);
}

uint64_t memory_of_this_machine() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page_bytes();
}

// Requirement U23.
TEST(RegionThreeTimesTheMemory, OpensAndGivesTheHundredthThatIsTouched) {
  const uint64_t size = 3 * memory_of_this_machine();
  const Pulled pulled(size);
  // Of a large machine's no more than 32 MiB.
  const uint64_t step = std::max<uint64_t>(100, size / (32 * kMiB));
  EXPECT_EQ(pulled.wrong_pages(step), 0u);
  EXPECT_EQ(pulled.received(), (size / page_bytes() + step - 1) / step * page_bytes());
}

// Requirement Z6: nothing hangs, and who started it is told the signal.
TEST(WithoutSwap, TouchingMoreThanThereIsEndsTheProcess) {
  const MemoryLimit limit(kLimit, Swap::none);
  if (!limit.problem().empty()) GTEST_SKIP() << limit.problem();
  const int status = limit.run([] { EXPECT_EQ(Pulled(kRegion).wrong_pages(), 0u); });
  ASSERT_TRUE(WIFSIGNALED(status)) << "status " << status << ": the limit was none";
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

}  // namespace
}  // namespace memsync::userfaultfd
