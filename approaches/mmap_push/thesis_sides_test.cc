// Both sides of a session that speaks the thesis's protocol, in one process.
#include "approaches/mmap_push/thesis_sides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "approaches/registry.h"
#include "lib/backend/stores.h"
#include "lib/region/content.h"

namespace memsync {

void register_mmap_push(std::vector<const SyncStrategy*>& strategies);

namespace mmap_push {
namespace {

constexpr Nanoseconds kPatience = std::chrono::seconds(20);

class ThesisSides : public testing::Test {
 protected:
  explicit ThesisSides() { register_mmap_push(all_); }
  const SyncStrategy& strategy() const { return *all_.at(0); }
  SideSetup setup(Network& network, uint64_t size) const {
    SideSetup made;
    made.geometry = {.size_bytes = size, .chunk_bytes = 4096};
    made.options = &options_;
    made.network = &network;
    made.store = std::make_unique<MemoryBackend>(size);
    fill_content(ContentKind::random, 1, made.store->mapping(), 0);
    return made;
  }
  void open(uint64_t size) {
    source = strategy().open_source(setup(*source_network_, size));
    destination = strategy().open_destination(setup(*destination_network_, size));
  }
  void expect_equal() {
    EXPECT_TRUE(std::ranges::equal(source->region().memory, destination->region().memory));
  }

  std::vector<const SyncStrategy*> all_;
  const Options options_{option_specs(), {{"protocol", "thesis"}}};
  const TemporaryFolder folder_ = TemporaryFolder::make(kMemoryFolder);
  const std::unique_ptr<Network> source_network_ = make_unix_network("source", folder_.path());
  const std::unique_ptr<Network> destination_network_ =
      make_unix_network("destination0", folder_.path());
  std::unique_ptr<Side> source, destination;
};

TEST_F(ThesisSides, BringTheRegionAndEachRound) {
  for (const uint64_t size : {1u, 4095u, 4096u, 4097u, (1u << 20) + 1}) {
    open(size);
    expect_equal();
    for (const uint64_t at : {uint64_t{0}, size / 2, size - 1}) {
      source->region().memory[at] ^= std::byte{0xff};
      const auto report = source->sync(after(kPatience));
      ASSERT_TRUE(report.has_value());
      EXPECT_LE(report->payload_bytes, 2u * 4096);  // the last block tells the size
      expect_equal();
    }
    EXPECT_EQ(source->sync(after(kPatience))->chunks_moved, 0u);
    EXPECT_FALSE(destination->sync(after(kPatience)).has_value());
    source->rethrow_failure();
    destination->rethrow_failure();
    destination.reset();
    source.reset();
  }
}

TEST_F(ThesisSides, HaveNoHandOver) {
  open(4096);
  EXPECT_EQ(strategy().capabilities(options_).destination_after, Access::none);
  EXPECT_EQ(destination->handover(), nullptr);
}

TEST_F(ThesisSides, OfADestinationThatHasGoneSaySo) {
  open(1 << 20);
  destination.reset();
  source->region().memory[0] ^= std::byte{1};
  EXPECT_THROW(source->sync(after(kPatience)), std::system_error);
  EXPECT_THROW(source->rethrow_failure(), std::system_error);
}

// Nobody waits for a destination that connects and says nothing.
TEST_F(ThesisSides, EndWhileTheDestinationStalls) {
  source = strategy().open_source(setup(*source_network_, 4096));
  const auto stream = destination_network_->connect("source", kThesisServiceName, after(kPatience));
  EXPECT_THROW(source->sync(after(std::chrono::milliseconds(50))), std::system_error);
  source.reset();
}

TEST_F(ThesisSides, RefuseWhatTheirMessagesHaveNoWordsFor) {
  for (const char* option : {"consistency=quiet", "publish=in_place", "interval=1s"}) {
    const std::string given = option;
    const size_t equals = given.find('=');
    const Options options(option_specs(), {{"protocol", "thesis"},
                                           {given.substr(0, equals), given.substr(equals + 1)}});
    const auto unmet = strategy().unmet_requirements(options);
    ASSERT_EQ(unmet.size(), 1u) << option;
    EXPECT_THAT(unmet[0], testing::HasSubstr(given.substr(0, equals)));
  }
}

}  // namespace
}  // namespace mmap_push
}  // namespace memsync
