// One source and several destinations in one process.
#include "approaches/mmap_push/star_source_side.h"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "approaches/mmap_push/sides_pair.h"

namespace memsync::mmap_push {
namespace {

using testing::HasSubstr;

class Star : public Sides {
 protected:
  void open_all(uint64_t size, const Given& given = {}, size_t count = 3) {
    choose(size, given);
    SideSetup ours = setup(*source_network_, {}, size_);
    fill_content(ContentKind::random, kSeed, ours.store->mapping(), 0);
    ours.destinations = static_cast<uint32_t>(count);
    source = strategy().open_source(std::move(ours));
    for (size_t i = 0; i < count; ++i)
      networks.push_back(make_unix_network("destination" + std::to_string(i), folder_.path()));
    for (const auto& network : networks)
      destinations.push_back(strategy().open_destination(setup(*network, {}, size_)));
  }
  void store(uint64_t offset, std::byte value) {
    std::atomic_ref(source->region().memory[offset]).store(value, std::memory_order_relaxed);
  }
  void expect_all_equal() {
    for (const auto& each : destinations)
      EXPECT_EQ(digest_of(each->region().memory), digest_of(source->region().memory));
  }

  std::vector<std::unique_ptr<Network>> networks;
  std::vector<std::unique_ptr<Side>> destinations;
};

class EachDetector : public Star, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Star, EachDetector, testing::Values("auto", "hash", "shadow"),
                         [](const auto& detect) { return std::string(detect.param); });

TEST_P(EachDetector, KeepsAllDestinationsEqualRoundByRound) {
  open_all(kMiB + 1, {{"detect", GetParam()}});
  expect_all_equal();
  for (unsigned round = 1; round <= 3; ++round) {
    for (uint64_t offset = round; offset <= kMiB; offset += 100'003)
      store(offset, static_cast<std::byte>(round));
    store(kMiB, static_cast<std::byte>(round));
    const auto report = source->sync(after(kPatience));
    ASSERT_TRUE(report);
    EXPECT_EQ(report->chunks_moved % 3, 0u);
    EXPECT_GE(report->chunks_moved, 3u * 10);
    EXPECT_LE(report->chunks_moved, 3u * 12);
    expect_all_equal();
  }
}

TEST_F(Star, SendsNothingWhereNothingChanged) {
  open_all(kMiB);
  EXPECT_EQ(source->sync(after(kPatience))->payload_bytes, 0u);
  const uint64_t sent = source->statistics().payload_sent.value();
  EXPECT_EQ(sent, 3 * kMiB);
  source->sync(after(kPatience));
  EXPECT_EQ(source->statistics().payload_sent, sent);
}

TEST_F(Star, IsRightOnceTheWriterRests) {
  open_all(64 * 4096);
  {
    std::jthread writer([this](const std::stop_token& stop) {
      for (uint64_t n = 0; !stop.stop_requested(); ++n)
        store(mix64(n) % size_, static_cast<std::byte>(n));
    });
    for (int round = 0; round < 10; ++round) ASSERT_TRUE(source->sync(after(kPatience)));
  }
  ASSERT_TRUE(source->sync(after(kPatience)));
  expect_all_equal();
}

TEST_F(Star, EndsWithADestinationThatGoes) {
  open_all(kMiB);
  destinations[1].reset();
  store(7, std::byte{1});
  store(8, std::byte{2});
  EXPECT_THROW(source->sync(after(kPatience)), std::system_error);
  EXPECT_NE(failure_of(*source), "");
  EXPECT_THROW(source->sync(after(kPatience)), std::system_error) << "and stays so";
}

TEST_F(Star, SaysWhoIsMissingWhenADestinationNeverComes) {
  choose(kMiB, {});
  SideSetup ours = setup(*source_network_, {}, size_);
  ours.destinations = 2;
  source = strategy().open_source(std::move(ours));
  destinations.push_back(strategy().open_destination(setup(*destination_network_, {}, size_)));
  try {
    source->sync(after(100ms));
    FAIL() << "a round without a destination";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code(), std::errc::timed_out);
    EXPECT_THAT(problem.what(), HasSubstr("of 2 destinations"));
  }
}

TEST_F(Star, GoesWhileItsDestinationsAreStillExpected) {
  choose(kMiB, {});
  SideSetup ours = setup(*source_network_, {}, size_);
  ours.destinations = 2;
  source = strategy().open_source(std::move(ours));
  source.reset();
}

TEST(StarCapabilities, DependOnTheOptions) {
  const auto most = [](const Given& given) {
    return strategy().capabilities(Options(strategy().info().options, given)).destinations_max;
  };
  EXPECT_EQ(most({}), 64u);
  EXPECT_EQ(most({{"protocol", "thesis"}}), 1u);
  EXPECT_EQ(most({{"consistency", "snapshot"}}), 1u);
  EXPECT_EQ(most({{"interval", "10ms"}}), 1u);
}

}  // namespace
}  // namespace memsync::mmap_push
