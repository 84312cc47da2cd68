// The policies at work: real userfaults, a source in this process, and the faults that are left.
#include <functional>
#include <gtest/gtest.h>
#include <thread>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "lib/backend/stores.h"
#include "lib/region/digest.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSeed = 5;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kUnit = 64 << 10;
constexpr uint64_t kChunksPerUnit = kUnit / 4096;

// Computed bytes; remembers which units were asked for, in their order.
class NotingReader : public Reader {
 public:
  explicit NotingReader(uint64_t size) : pattern_(ContentKind::random, kSeed, size) {}
  void read_at(std::span<std::byte> into, uint64_t offset) override {
    {
      MutexLock lock(mutex_);
      for (uint64_t at = 0; at < into.size(); at += kUnit) units_.push_back((offset + at) / kUnit);
    }
    pattern_.read_at(into, offset);
  }
  uint64_t size_bytes() const override { return pattern_.size_bytes(); }
  std::vector<UnitIndex> units() const {
    MutexLock lock(mutex_);
    return units_;
  }

 private:
  PatternReader pattern_;
  mutable Mutex mutex_;
  std::vector<UnitIndex> units_ GUARDED_BY(mutex_);
};

class Pulled {
 public:
  // prepare: called before the pager exists.
  Pulled(uint64_t size, const Settings& settings, Guidance guidance = {},
         const std::function<void(ScriptedSource&)>& prepare = {})
      : reader(size),
        source(std::make_unique<ScriptedSource>(reader)),
        mapping(Mapping::anonymous(size)),
        memory(mapping.bytes()) {
    if (prepare) prepare(*source);
    pager = std::make_unique<Pager>(memory, Geometry{.size_bytes = size, .chunk_bytes = 4096},
                                    settings, *source, std::move(guidance));
  }
  ~Pulled() {
    pager->stop();
    source.reset();
  }

  void touch(UnitIndex unit) const {
    const uint64_t offset = unit * kUnit + 17;
    std::byte expected;
    fill_content(ContentKind::random, kSeed, {&expected, 1}, offset);
    EXPECT_EQ(mapping.bytes()[offset], expected) << "unit " << unit;
  }
  uint64_t faults() const { return *pager->statistics().faults; }
  // Returns once so many units are here; hangs, and so fails, when they never come.
  void wait_for_units(uint64_t count) const {
    while (*pager->statistics().chunks_local < count * kChunksPerUnit) std::this_thread::yield();
  }

  NotingReader reader;
  std::unique_ptr<ScriptedSource> source;
  Mapping mapping;
  OwnMemory memory;
  std::unique_ptr<Pager> pager;
};

Digest digest_of_pattern(uint64_t size) {
  std::vector<std::byte> expected(size);
  fill_content(ContentKind::random, kSeed, expected, 0);
  return digest_of(expected);
}

class WholeRead : public testing::TestWithParam<std::tuple<uint64_t, Prefetch, bool>> {};

TEST_P(WholeRead, GivesTheSourcesBytes) {
  const auto [size, policy, is_background] = GetParam();
  Pulled pulled(size, {.prefetch = policy, .is_background = is_background},
                {.order = {(size - 1) / kUnit, 0}});
  EXPECT_EQ(digest_of(pulled.mapping.bytes()), digest_of_pattern(size));
  EXPECT_EQ(pulled.pager->statistics().chunks_local, (size + 4095) / 4096);
  EXPECT_NO_THROW(pulled.pager->rethrow_failure());
}

INSTANTIATE_TEST_SUITE_P(Each, WholeRead,
                         testing::Combine(testing::Values(1, 3 * kUnit + 4097, 4 * kMiB),
                                          testing::Values(Prefetch::none, Prefetch::around,
                                                          Prefetch::window, Prefetch::trend,
                                                          Prefetch::trace, Prefetch::priority),
                                          testing::Bool()));

TEST(Prefetching, AroundLeavesOneFaultPerBlock) {
  Pulled pulled(4 * kMiB, {.prefetch = Prefetch::around, .around_bytes = kMiB});
  for (uint64_t block = 0; block < 4; ++block) {
    pulled.touch(block * 16 + 5);
    pulled.wait_for_units((block + 1) * 16);
    for (UnitIndex unit = 0; unit < 16; ++unit) pulled.touch(block * 16 + unit);
  }
  EXPECT_EQ(pulled.faults(), 4u);
}

TEST(Prefetching, TrendLeavesNoFaultWhereAStrideGoesOn) {
  Pulled pulled(16 * kMiB, {.prefetch = Prefetch::trend});
  for (const UnitIndex unit : std::vector<UnitIndex>{10, 13, 16}) pulled.touch(unit);
  pulled.wait_for_units(3 + 4);
  for (const UnitIndex unit : std::vector<UnitIndex>{19, 22, 25, 28}) pulled.touch(unit);
  EXPECT_EQ(pulled.faults(), 3u);
  pulled.touch(31);  // right behind: twice as many
  pulled.wait_for_units(3 + 4 + 1 + 8);
  for (UnitIndex unit = 34; unit < 34 + 8 * 3; unit += 3) pulled.touch(unit);
  EXPECT_EQ(pulled.faults(), 4u);
}

TEST(Prefetching, OfATraceLeavesNoFaultAtAll) {
  const std::vector<UnitIndex> touched{40, 3, 17, 63, 0, 22};
  std::vector<UnitIndex> touches;
  {
    Pulled first(4 * kMiB, {.prefetch = Prefetch::trace}, {.order = {}, .touches = &touches});
    for (const UnitIndex unit : touched) first.touch(unit);
    EXPECT_EQ(first.faults(), touched.size());
  }
  EXPECT_EQ(touches, touched);
  Pulled second(4 * kMiB, {.prefetch = Prefetch::trace}, {.order = touches});
  second.pager->await_ahead(touches, after(60s), {});
  EXPECT_EQ(second.reader.units(), touched);
  for (const UnitIndex unit : touched) second.touch(unit);
  EXPECT_EQ(second.faults(), 0u);
  EXPECT_EQ(second.pager->statistics().payload_received, touched.size() * kUnit);
}

TEST(Prefetching, InTheBackgroundBringsThePolicysUnitsFirstAndThenTheRest) {
  Pulled pulled(4 * kMiB, {.prefetch = Prefetch::priority, .is_background = true},
                {.order = {50, 20, 21}});
  pulled.wait_for_units(64);
  std::vector<UnitIndex> expected{50, 20, 21};
  for (UnitIndex unit = 0; unit < 64; ++unit)
    if (unit != 50 && unit != 20 && unit != 21) expected.push_back(unit);
  EXPECT_EQ(pulled.reader.units(), expected);
  for (UnitIndex unit = 0; unit < 64; ++unit) pulled.touch(unit);
  EXPECT_EQ(pulled.faults(), 0u);
}

TEST(Prefetching, LetsAFaultGoBeforeTheBackground) {
  Pulled pulled(8 * kMiB, {.prefetch = Prefetch::none, .is_background = true}, {},
                [](ScriptedSource& source) { source.hold(Urgency::background); });
  pulled.source->wait_for_requests(Urgency::background, 1);
  pulled.touch(100);  // not asked for yet
  EXPECT_EQ(pulled.reader.units().front(), 100u);
  pulled.source->let_go();
  pulled.wait_for_units(128);
}

TEST(Prefetching, BeginsAnewAfterAChangeOfOwner) {
  Pulled pulled(4 * kMiB, {.prefetch = Prefetch::trace}, {.order = {9, 8}});
  pulled.wait_for_units(2);
  pulled.pager->hold();
  constexpr ByteRange kAll[] = {{0, 4 * kMiB}};
  pulled.pager->go_on_without(kAll);
  pulled.touch(30);
  pulled.wait_for_units(3);
  pulled.touch(9);
  pulled.touch(8);
  EXPECT_EQ(pulled.faults(), 1u);
}

TEST(Awaiting, EndsWhenSomeOfItCannotBeHad) {
  Pulled pulled(4 * kMiB, {.prefetch = Prefetch::priority}, {.order = {1, 2, 3}},
                [](ScriptedSource& source) { source.fail_at(2 * kUnit, std::errc::io_error); });
  pulled.pager->await_ahead(std::vector<UnitIndex>{1, 2, 3}, after(1h), {});
  EXPECT_NO_THROW(pulled.pager->rethrow_failure()) << "nobody has touched it";
  pulled.touch(1);
}

TEST(Awaiting, EndsAtItsDeadlineAndWhenItIsStopped) {
  const std::vector<UnitIndex> order{1};
  Pulled pulled(4 * kMiB, {.prefetch = Prefetch::priority}, {.order = order},
                [](ScriptedSource& source) { source.hold(Urgency::background); });
  pulled.pager->await_ahead(order, after(5ms), {});
  std::stop_source stop;
  std::jthread waiting([&] { pulled.pager->await_ahead(order, after(1h), stop.get_token()); });
  stop.request_stop();
  waiting.join();
  EXPECT_EQ(pulled.pager->statistics().chunks_local, 0u);
  pulled.source->let_go();
}

}  // namespace
}  // namespace memsync::userfaultfd
