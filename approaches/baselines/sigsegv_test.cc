// Paging by a SIGSEGV handler: right bytes by one thread and by many, and named failures.
#include "approaches/baselines/sigsegv.h"

#include <algorithm>
#include <csignal>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "approaches/baselines/two_sides.h"
#include "lib/region/digest.h"

namespace memsync {
namespace {

using baselines::TwoSides;
using Given = std::map<std::string, std::string>;

struct Paging {
  uint64_t size;
  Given given;
};

class Sigsegv : public testing::TestWithParam<Paging> {};

TEST_P(Sigsegv, BringsEveryByteAtItsFirstTouch) {
  const auto& [size, given] = GetParam();
  TwoSides sides("sigsegv", size, given);
  sides.open();
  EXPECT_EQ(sides.destination->statistics().faults, 0u);
  EXPECT_EQ(digest_of(sides.destination->region().memory), digest_of(sides.expected()));
  const uint64_t faults = sides.destination->statistics().faults.value();
  EXPECT_GE(faults, 1u);
  EXPECT_EQ(digest_of(sides.destination->region().memory), digest_of(sides.expected()));
  EXPECT_EQ(sides.destination->statistics().faults, faults) << "a touched unit faulted again";
  const bool is_local = given.contains("backend") && given.at("backend") != "peer";
  EXPECT_EQ(sides.destination->statistics().payload_received,
            is_local ? std::nullopt : std::optional(size));
  sides.destination->rethrow_failure();
}
INSTANTIATE_TEST_SUITE_P(Sizes, Sigsegv,
                         testing::Values(Paging{1, {}}, Paging{4097, {}}, Paging{1'000'003, {}},
                                         Paging{1'000'003, {{"unit", "64KiB"}}},
                                         Paging{1'000'003, {{"backend", "local"}}},
                                         Paging{1'000'003,
                                                {{"backend", "pattern"}, {"unit", "1MiB"}}}));

// All touch the same pages at once: one of them brings each, nobody sees it half.
TEST(SigsegvThreads, ShareEachUnitThatOneOfThemBrings) {
  constexpr uint64_t kPages = 200;
  constexpr int kThreads = 8;
  for (const char* backend : {"local", "peer"}) {
    TwoSides sides("sigsegv", kPages * 4096, {{"backend", backend}});
    sides.open();
    const auto memory = sides.destination->region().memory;
    const Digest expected = digest_of(sides.expected());
    std::latch start(kThreads);
    std::vector<Digest> found(kThreads);
    {
      std::vector<std::jthread> threads;
      for (Digest& digest : found)
        threads.emplace_back([&] {
          start.arrive_and_wait();
          digest = digest_of(memory);
        });
    }
    for (const Digest& digest : found) EXPECT_EQ(digest, expected) << backend;
    EXPECT_EQ(sides.destination->statistics().faults, kPages) << backend;
  }
}

TEST(SigsegvWrites, StayAtTheDestination) {
  TwoSides sides("sigsegv", 3 * 4096, {{"backend", "local"}});
  sides.open();
  const auto memory = sides.destination->region().memory;
  memory[4096] = std::byte{7};  // the first touch of its page
  auto expected = sides.expected();
  expected[4096] = std::byte{7};
  EXPECT_EQ(digest_of(memory), digest_of(expected));
}

// A reader whose second page can't be had.
class Broken : public Reader {
 public:
  explicit Broken(uint64_t size) : size_(size) {}
  void read_at(std::span<std::byte> into, uint64_t offset) override {
    if (offset + into.size() > 4096) throw_errno("reading the second page", EIO);
    std::ranges::fill(into, std::byte{9});
  }
  uint64_t size_bytes() const override { return size_; }

 private:
  uint64_t size_;
};

TEST(SigsegvFailure, EndsTheTouchInASignalAndIsNamed) {
  TwoSides sides("sigsegv", 2 * 4096);
  sides.open_source(std::make_unique<Broken>(2 * 4096));
  sides.open_destination();
  const auto memory = sides.destination->region().memory;
  for (int attempt = 0; attempt < 2; ++attempt) {  // it stays so
    auto touch = [&] { static_cast<void>(*static_cast<volatile std::byte*>(&memory[4096])); };
    const AccessFault fault = guarded(touch);
    EXPECT_EQ(fault.signal, SIGSEGV);
    EXPECT_EQ(fault.address, reinterpret_cast<uintptr_t>(&memory[4096]));
  }
  EXPECT_THROW(sides.destination->rethrow_failure(), std::system_error);
  EXPECT_EQ(memory[0], std::byte{9});  // the other page can be had
}

TEST(SigsegvOptions, AreChecked) {
  const auto& strategy = TwoSides::named("sigsegv");
  for (const char* unit : {"0B", "4095B", "12KiB", "2MiB"})
    EXPECT_THROW(strategy.unmet_requirements(Options(strategy.info().options, {{"unit", unit}})),
                 std::invalid_argument)
        << unit;
}

}  // namespace
}  // namespace memsync
