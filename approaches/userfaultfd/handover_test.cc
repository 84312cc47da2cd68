// What a hand-over keeps, moves and fences, with and without write tracking.
#include <sys/mman.h>
#include <thread>

#include "approaches/userfaultfd/touch.h"
#include "approaches/userfaultfd/two_hosts.h"
#include "lib/os/mapping.h"
#include "lib/os/userfault.h"

namespace memsync {
namespace userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSize = 4 * kMiB + 77;
const uint64_t kPage = page_bytes();
using Given = std::map<std::string, std::string>;

// With every way of tracking, and without one.
class HandingOver : public TwoHosts, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) != "scan") return;
    const auto problems = Userfault::problems({.tracking = Userfault::WriteTracking::scan});
    if (!problems.empty()) GTEST_SKIP() << problems[0];
  }
  bool tracks() const { return std::string(GetParam()) != "none"; }
  void open_tracked(Given options) {
    options.emplace("track", GetParam());
    open_filled(kSize, std::move(options));
  }
  // The model: what the region must hold.
  std::vector<std::byte> expected_ = [] {
    std::vector<std::byte> bytes(kSize);
    fill_content(ContentKind::random, kSeed, bytes, 0);
    return bytes;
  }();
};

INSTANTIATE_TEST_SUITE_P(Tracking, HandingOver, testing::Values("scan", "faults", "none"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(HandingOver, KeepsWhatIsStillTrueAndDropsWhatIsNot) {
  open_tracked({{"prefetch", "none"}});
  const auto ours = destination_->region().memory;
  const auto theirs = source_->region().memory;
  EXPECT_EQ(digest_of(ours), digest_of_pattern(kSize));  // all of it is here
  const uint64_t before = *destination_->statistics().payload_received;
  theirs[kMiB] = expected_[kMiB] = std::byte{1};
  last_writes_ = [&] { theirs[kSize - 1] = expected_[kSize - 1] = std::byte{2}; };
  destination_->handover()->finalize(after(10s));
  destination_->handover()->settle(after(20s));
  EXPECT_EQ(digest_of(ours), digest_of(expected_));
  const uint64_t moved = *destination_->statistics().payload_received - before;
  if (tracks())
    EXPECT_EQ(moved, (64 << 10) + kSize % (64 << 10))
        << "more than the two units that were written";
  else
    EXPECT_EQ(moved, kSize);
}

TEST_P(HandingOver, WhileAThreadOfTheSourceNeverStopsWriting) {
  open_tracked({});
  const auto theirs = source_->region().memory;
  const auto ours = destination_->region().memory;
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    for (uint64_t number = 0; !stop; ++number) {
      const uint64_t at = number * 7919 % kSize;
      theirs[at] = expected_[at] = static_cast<std::byte>(number);
    }
  });
  last_writes_ = [&] {
    stop = true;
    writer.join();
  };
  for (uint64_t offset = 0; offset < kSize; offset += 3 * kPage)
    static_cast<void>(touch(&ours[offset]));
  destination_->handover()->finalize(after(10s));
  EXPECT_EQ(digest_of(ours), digest_of(expected_));
  destination_->handover()->settle(after(20s));
  EXPECT_EQ(digest_of(ours), digest_of(expected_));
}

TEST_P(HandingOver, BringsTheShareBeforeTheSourceStops) {
  if (!tracks()) GTEST_SKIP() << "refused without tracking";
  open_tracked({{"share", "75%"}});
  const auto theirs = source_->region().memory;
  uint64_t before_stop = 0;
  last_writes_ = [&] { before_stop = *destination_->statistics().payload_received; };
  theirs[0] = expected_[0] = std::byte{3};
  destination_->handover()->finalize(after(10s));
  EXPECT_GE(before_stop, kSize * 3 / 4 - (64 << 10));
  destination_->handover()->settle(after(20s));
  EXPECT_EQ(digest_of(destination_->region().memory), digest_of(expected_));
}

TEST_P(HandingOver, ToAThirdHostKeepsWhatTheSecondDidNotWrite) {
  open_tracked({});
  destination_->handover()->finalize(after(10s));
  destination_->handover()->settle(after(20s));
  source_.reset();
  const auto second = destination_->region().memory;
  const auto network = make_unix_network("source", folder_.path());
  SideSetup next = setup(kSize, *destination_network_);
  next.region.epoch += 1;
  next.store = std::make_unique<MemoryBackend>(kSize);
  next.options = &*options_;
  const auto served = native_transport().serve(*network, "region", next.geometry, next.region,
                                               *destination_->service());
  const auto third = strategy().open_destination(std::move(next));
  EXPECT_EQ(digest_of(third->region().memory), digest_of_pattern(kSize));
  const uint64_t before = *third->statistics().payload_received;
  second[2 * kMiB] = expected_[2 * kMiB] = std::byte{4};
  third->handover()->finalize(after(10s));
  third->handover()->settle(after(20s));
  EXPECT_EQ(digest_of(third->region().memory), digest_of(expected_));
  EXPECT_EQ(*third->statistics().payload_received - before, tracks() ? 64 << 10 : kSize);
}

// The destination does not own the bytes yet, so dropping them is no statement about them.
TEST_P(HandingOver, BringsWhatTheReaderHadDropped) {
  open_tracked({});
  const auto ours = destination_->region().memory;
  EXPECT_EQ(digest_of(ours), digest_of_pattern(kSize));
  ASSERT_EQ(::madvise(&ours[kMiB], 1200 << 10, MADV_DONTNEED), 0);
  ours[kMiB - 1] = std::byte{1};  // the units around them are not fetched again as a whole
  destination_->handover()->finalize(after(10s));
  ours[kMiB - 1] = expected_[kMiB - 1] = std::byte{2};
  ASSERT_EQ(::madvise(&ours[3 * kMiB], kPage, MADV_DONTNEED), 0);
  destination_->handover()->settle(after(20s));
  EXPECT_EQ(digest_of(ours), digest_of(expected_));
}

TEST_F(TwoHosts, DropAllWhenTheSourceCannotSayWhatWasWritten) {
  class Changing : public PatternStore {  // no memory: nothing to track
   public:
    using PatternStore::PatternStore;
    void read_at(std::span<std::byte> into, uint64_t offset) override {
      PatternStore::read_at(into, offset);
      for (std::byte& byte : into) byte ^= flip.load();
    }
    std::atomic<std::byte> flip{};
  };
  auto store = std::make_unique<Changing>(kMiB);
  Changing& changing = *store;
  open(std::move(store), {{"track", "scan"}});
  EXPECT_EQ(destination_->region().memory[0], expected_at(0));
  changing.flip = std::byte{0xff};
  destination_->handover()->finalize(after(10s));
  EXPECT_EQ(destination_->region().memory[0], expected_at(0) ^ std::byte{0xff});
}

class WritingBack : public HandingOver {};
INSTANTIATE_TEST_SUITE_P(Tracking, WritingBack, testing::Values("scan", "faults"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(WritingBack, SendsWhatWasWrittenAndNothingElse) {
  open_tracked({{"writes", "back"}, {"unit", std::to_string(kPage) + "B"}, {"prefetch", "none"}});
  const auto ours = destination_->region().memory;
  const auto theirs = source_->region().memory;
  EXPECT_EQ(destination_->sync(after(5s))->payload_bytes, 0u);
  EXPECT_EQ(ours[3 * kMiB], expected_[3 * kMiB]);
  ours[3 * kMiB] = expected_[3 * kMiB] = std::byte{5};    // after a read
  ours[kMiB + 9] = expected_[kMiB + 9] = std::byte{6};    // at the first touch
  ours[kSize - 1] = expected_[kSize - 1] = std::byte{7};  // in the tail
  EXPECT_EQ(digest_of(theirs), digest_of_pattern(kSize));
  EXPECT_EQ(destination_->sync(after(5s))->payload_bytes, 2 * kPage + kSize % kPage);
  EXPECT_EQ(digest_of(theirs), digest_of(expected_));
  EXPECT_EQ(destination_->sync(after(5s))->payload_bytes, 0u) << "sent what nobody wrote again";
  ours[3 * kMiB] = expected_[3 * kMiB] = std::byte{8};
  EXPECT_EQ(destination_->sync(after(5s))->chunks_moved, kPage / 4096);
  EXPECT_EQ(digest_of(theirs), digest_of(expected_));
}

TEST_P(WritingBack, GoesOnOverAHandOver) {
  open_tracked({{"writes", "back"}});
  const auto ours = destination_->region().memory;
  ours[kMiB] = expected_[kMiB] = std::byte{9};
  destination_->handover()->finalize(after(10s));
  ours[2 * kMiB] = expected_[2 * kMiB] = std::byte{10};
  destination_->handover()->settle(after(20s));
  EXPECT_EQ(digest_of(ours), digest_of(expected_));
}

TEST_P(WritingBack, FailsByNameAndIsTriedAgain) {
  open_tracked({{"writes", "back"}});
  destination_->region().memory[0] = std::byte{11};
  source_.reset();
  EXPECT_THROW(destination_->sync(after(2s)), std::system_error);
  EXPECT_THROW(destination_->sync(after(2s)), std::system_error) << "forgot what was not sent";
}

// The limit that the option lifts: a mount for reading.
TEST_F(TwoHosts, KeepTheDestinationsWritesToThemselvesByDefault) {
  open_filled(kMiB);
  destination_->region().memory[5] = std::byte{12};
  EXPECT_EQ(destination_->sync(after(1s)), std::nullopt);
  EXPECT_EQ(digest_of(source_->region().memory), digest_of_pattern(kMiB));
}

// Two writers diverge: neither sees the other's bytes, and a page that was fetched is final.
TEST_F(TwoHosts, DoNotSeeEachOthersWritesToAFetchedPage) {
  open_filled(kMiB);
  const auto ours = destination_->region().memory;
  const auto theirs = source_->region().memory;
  EXPECT_EQ(ours[0], expected_at(0));
  theirs[0] = std::byte{13};
  ours[1] = std::byte{14};
  EXPECT_EQ(ours[0], expected_at(0));
  EXPECT_EQ(theirs[1], expected_at(1));
}

}  // namespace
}  // namespace userfaultfd
}  // namespace memsync
