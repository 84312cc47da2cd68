// Both sides of the approach in one process: the contract of Side, and who owns the region when.
#include <atomic>
#include <cctype>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>

#include "approaches/mmap_push/push_pair.h"
#include "approaches/mmap_push/sides_pair.h"

namespace memsync::mmap_push {
namespace {

using std::byte;

void store(byte& to, byte value) {
  std::atomic_ref(to).store(value, std::memory_order_relaxed);
}
Digest file_digest(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return digest_of(std::as_bytes(std::span(text)));
}
// Stores on and on, one known byte after the other; stop() returns once it has stopped.
class Application {
 public:
  Application(std::span<byte> memory, uint64_t from) : memory_(memory), done_(from) {
    thread_ = std::jthread([this, from](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        step(memory_, done_);
        ++done_;
        if (done_ == from + 1) runs_.count_down();
      }
    });
    runs_.wait();
  }
  uint64_t stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return done_;
  }
  static void step(std::span<byte> memory, uint64_t number) {
    const uint64_t draw = mix64(number);
    store(memory[draw % memory.size()], static_cast<byte>(draw >> 56));
  }

 private:
  const std::span<byte> memory_;
  uint64_t done_;
  std::latch runs_{1};
  std::jthread thread_;
};
class Any : public Sides, public testing::WithParamInterface<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Size, Any, testing::Values(1, 4095, 4096, 4097, kMiB + 1));

TEST_P(Any, IsThereWhenItHasOpenedAndFollowsEachSyncAndIsHandedOver) {
  open(GetParam());
  const auto memory = source->region().memory;
  ASSERT_EQ(memory.size(), GetParam());
  ASSERT_EQ(destination->region().memory.size(), GetParam());
  expect_equal();
  EXPECT_EQ(std::filesystem::file_size(destination->region().path), GetParam());
  EXPECT_EQ(destination->statistics().payload_received, GetParam());
  for (const uint64_t at : {uint64_t{0}, GetParam() / 2, GetParam() - 1}) {
    memory[at] ^= byte{0xff};
    const auto report = source->sync(after(kPatience));
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->chunks_moved, 1u);
    expect_equal();
  }
  EXPECT_EQ(source->sync(after(kPatience))->chunks_moved, 0u);
  memory[GetParam() - 1] ^= byte{0xff};
  const HandoverReport report = destination->handover()->finalize(after(kPatience));
  destination->handover()->settle(after(kPatience));
  expect_equal();
  EXPECT_GE(report.downtime(), report.suspend);
  EXPECT_EQ(failure_of(*source) + failure_of(*destination), "");
}

std::vector<Given> choices() {
  std::vector<Given> all = {{}};
  for (const OptionSpec& spec : option_specs()) {
    std::string_view rest = spec.choices;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('|'), rest.size());
      Given given{{std::string(spec.name), std::string(rest.substr(0, end))}};
      if (spec.name == "hash") given["detect"] = "hash";
      if (given != Given{{"protocol", "thesis"}}) all.push_back(given);  // has tests of its own
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  for (const char* detect : {"hash", "shadow", "scan", "faults"})
    for (const char* consistency : {"quiet", "snapshot"})
      all.push_back({{"detect", detect}, {"consistency", consistency}, {"compress", "zstd"}});
  all.push_back({{"detect", "hash"}, {"workers", "2"}});
  all.push_back({{"detect", "shadow"}, {"workers", "3"}, {"publish", "in_place"}});
  for (const char* block : {"4KiB", "64KiB", "1MiB"}) all.push_back({{"block", block}});
  all.push_back({{"interval", "1ms"}});
  all.push_back({{"file", "disk"}, {"durable", "on"}, {"msync", "sync"}});
  return all;
}
class Option : public Sides, public testing::WithParamInterface<Given> {};
std::string name_of_choice(const testing::TestParamInfo<Given>& test) {
  std::string name;
  for (const auto& [option, value] : test.param) name += option + "_" + value + "_";
  if (name.empty()) return "none";
  for (char& letter : name)
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  return name + std::to_string(test.index);
}
INSTANTIATE_TEST_SUITE_P(Each, Option, testing::ValuesIn(choices()), name_of_choice);

// What the capabilities say, with each value of each option.
TEST_P(Option, KeepsThePromisesOfTheCapabilities) {
  choose(3 * kMiB + 77, GetParam());
  if (const auto unmet = strategy().unmet_requirements(*options_); !unmet.empty())
    GTEST_SKIP() << unmet[0];
  std::atomic<bool> is_stopped{false}, runs_there{false};
  open_source({.suspend = [&] { is_stopped = true; }, .resume = [&] { is_stopped = false; }});
  open_destination({.suspend = {}, .resume = [&] { runs_there = true; }});
  const Capabilities can = strategy().capabilities(*options_);
  EXPECT_EQ(can.source_before, Access::read_write);
  EXPECT_EQ(can.destination_before, Access::read);
  EXPECT_EQ(can.destination_after, Access::read_write);
  EXPECT_TRUE(can.writes_reach_peer);
  expect_equal();
  const auto from = source->region().memory;
  const auto to = destination->region().memory;
  for (uint64_t round = 0; round < 4; ++round) {
    for (uint64_t number = 0; number < 200; ++number) Application::step(from, round * 200 + number);
    std::fill_n(from.begin() + 4096, 8192, byte{0});
    ASSERT_TRUE(source->sync(after(kPatience)).has_value());
    expect_equal();
    EXPECT_EQ(file_digest(destination->region().path), digest_of(from));
    EXPECT_FALSE(is_writable(to[100])) << "its application may only read before the hand-over";
    EXPECT_EQ(destination->region().memory.data(), to.data());
  }
  EXPECT_FALSE(destination->sync(after(kPatience)).has_value());
  EXPECT_EQ(source->handover(), nullptr);
  for (uint64_t number = 0; number < 200; ++number) Application::step(from, number + 9000);
  destination->handover()->finalize(after(kPatience));
  EXPECT_TRUE(is_stopped && runs_there);
  EXPECT_EQ(destination->region().memory.data(), to.data());
  expect_equal();
  EXPECT_TRUE(is_writable(to[100]));
  destination->handover()->settle(after(kPatience));
  try {
    source->sync(after(kPatience));
    FAIL() << "the source owns nothing any more";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), EPERM) << problem.what();
  }
}

TEST_F(Sides, RefuseBadOptionsWithASentence) {
  const std::pair<Given, const char*> bad[] = {
      {{{"block", "5000B"}}, "power of two"},
      {{{"block", "2KiB"}}, "power of two"},
      {{{"block", "2MiB"}}, "power of two"},
      {{{"block", "many"}}, "many"},
      {{{"workers", "65"}}, "at most 64"},
      {{{"protocol", "thesis"}, {"compress", "zstd"}}, "'compress'"},
      {{{"protocol", "thesis"}, {"consistency", "quiet"}}, "'consistency'"}};
  for (const auto& [given, words] : bad) {
    choose(4096, given);
    try {
      open_source();
      ADD_FAILURE() << words;
    } catch (const std::invalid_argument& problem) {
      EXPECT_THAT(problem.what(), testing::HasSubstr(words));
    }
    EXPECT_THAT(strategy().unmet_requirements(*options_),
                testing::ElementsAre(testing::HasSubstr(words)));
  }
  for (const Given& given : {Given{{"detect", "smell"}}, Given{{"detekt", "hash"}},
                             Given{{"workers", "-1"}}, Given{{"interval", "5"}}})
    EXPECT_THROW(choose(4096, given), std::invalid_argument);
}

// A detector that the application's stores escape would publish old bytes for ever.
TEST_F(Sides, RefuseDetectorsThatWouldMissStores) {
  choose(4096, {{"detect", "inotify"}});
  try {
    open_source();
    FAIL() << "took a detector that is blind";
  } catch (const std::invalid_argument& problem) {
    EXPECT_THAT(problem.what(), testing::HasSubstr("stores"));
  }
}

TEST_F(Sides, OfDifferentSizesDoNotMeet) {
  choose(kMiB);
  open_source();
  try {
    destination = strategy().open_destination(setup(*destination_network_, {}, kMiB + 4096));
    FAIL() << "took a region of another size";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), EPROTO) << problem.what();
  }
}

TEST_F(Sides, SyncByThemselvesWhereAskedTo) {
  open(kMiB, {{"interval", "2ms"}});
  const auto from = source->region().memory;
  for (uint64_t round = 1; round < 4; ++round) {
    store(from[round * 5000], static_cast<byte>(round));
    const Deadline deadline = after(kPatience);
    while (std::as_const(destination->region().memory[round * 5000]) != static_cast<byte>(round))
      ASSERT_LT(Clock::now(), deadline) << "nothing came by itself";
  }
  destination->handover()->finalize(after(kPatience));
  expect_equal();
}

class Detector : public Sides, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Each, Detector, testing::Values("hash", "shadow", "scan", "faults"));

// The writer goes on through syncs, pre-copy and all, up to the moment it is stopped, and then at
// the destination: no store of either is lost.
TEST_P(Detector, HandsOverAWriterThatGoesOn) {
  for (int repetition = 0; repetition < 3; ++repetition) {
    choose(kMiB + 1, {{"detect", GetParam()}});
    if (const auto unmet = strategy().unmet_requirements(*options_); !unmet.empty())
      GTEST_SKIP() << unmet[0];
    std::unique_ptr<Application> here, there;
    uint64_t stopped_at = 0;
    open_source({.suspend = [&] { stopped_at = here->stop(); }, .resume = [] {}});
    here = std::make_unique<Application>(source->region().memory, 0);
    open_destination({.suspend = {}, .resume = [&] {
                        there =
                            std::make_unique<Application>(destination->region().memory, stopped_at);
                      }});
    for (int round = 0; round < 5; ++round) source->sync(after(kPatience));
    destination->handover()->finalize(after(kPatience));
    destination->handover()->settle(after(kPatience));
    ASSERT_NE(there, nullptr);
    const uint64_t end = there->stop();
    Bytes expected(size_);
    fill_content(ContentKind::random, kSeed, expected, 0);
    for (uint64_t number = 0; number < end; ++number) Application::step(expected, number);
    EXPECT_GT(stopped_at, 0u);
    EXPECT_EQ(digest_of(destination->region().memory), digest_of(expected));
    destination.reset();
    source.reset();
  }
}
}  // namespace
}  // namespace memsync::mmap_push
