// Both sides of the approach in one process: the contract of Side, and who owns the region when.
#include <atomic>
#include <cctype>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <poll.h>
#include <unistd.h>

#include "approaches/mmap_push/push_pair.h"
#include "approaches/mmap_push/sides.h"
#include "lib/backend/stores.h"
#include "lib/region/digest.h"

namespace memsync {
void register_mmap_push(std::vector<const SyncStrategy*>& strategies);
namespace mmap_push {
namespace {

using namespace std::chrono_literals;
using std::byte;
using Given = std::map<std::string, std::string>;

constexpr uint64_t kSeed = 5;
constexpr uint64_t kMiB = 1 << 20;
constexpr auto kPatience = 20s;

const SyncStrategy& strategy() {
  static const SyncStrategy* const kOurs = [] {
    std::vector<const SyncStrategy*> all;
    register_mmap_push(all);
    return all.at(0);
  }();
  return *kOurs;
}

void store(byte& to, byte value) {
  std::atomic_ref(to).store(value, std::memory_order_relaxed);
}

Digest file_digest(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return digest_of(std::as_bytes(std::span(text)));
}

struct Hooks {
  std::function<void()> suspend, resume;
};

class Sides : public testing::Test {
 protected:
  Sides()
      : folder_(TemporaryFolder::make(kMemoryFolder)),
        source_network_(make_unix_network("source", folder_.path())),
        destination_network_(make_unix_network("destination0", folder_.path())) {}

  SideSetup setup(Network& network, const Hooks& hooks, uint64_t size) {
    SideSetup setup;
    setup.geometry = {.size_bytes = size, .chunk_bytes = 4096};
    setup.options = options_.get();
    setup.network = &network;
    setup.store = std::make_unique<MemoryBackend>(size);
    setup.suspend_app = hooks.suspend;
    setup.resume_app = hooks.resume;
    return setup;
  }
  void choose(uint64_t size, const Given& given = {}) {
    size_ = size;
    options_ = std::make_unique<Options>(strategy().info().options, given);
  }
  void open_source(const Hooks& hooks = {}) {
    SideSetup ours = setup(*source_network_, hooks, size_);
    fill_content(ContentKind::random, kSeed, ours.store->mapping(), 0);
    source = strategy().open_source(std::move(ours));
  }
  void open_destination(const Hooks& hooks = {}) {
    destination = strategy().open_destination(setup(*destination_network_, hooks, size_));
  }
  void open(uint64_t size, const Given& given = {}) {
    choose(size, given);
    open_source();
    open_destination();
  }
  // A destination of the test's own, as the source sees it.
  std::unique_ptr<Stream> dial() {
    return destination_network_->connect("source", kServiceName, after(kPatience));
  }
  void expect_equal() const {
    EXPECT_EQ(digest_of(destination->region().memory), digest_of(source->region().memory));
  }
  std::string failure_of(const Side& side) const {
    try {
      side.rethrow_failure();
    } catch (const std::exception& problem) {
      return problem.what();
    }
    return "";
  }

  const TemporaryFolder folder_;
  const std::unique_ptr<Network> source_network_, destination_network_;
  uint64_t size_ = 0;
  std::unique_ptr<Options> options_;
  std::unique_ptr<Side> source, destination;
};

// Whether this process could store to it: read(2) into it says EFAULT where it can't.
bool is_writable(byte& at) {
  const auto [read, write] = FileDescriptor::pipe();
  static_cast<void>(!::write(write.get(), &at, 1));
  return ::read(read.get(), &at, 1) == 1;
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

// The source's last round comes too late: it is refused, and the application goes on where it was.
TEST_F(Sides, GiveTheApplicationBackWhenFinalizeTimesOut) {
  choose(kMiB);
  std::latch stopping{1}, given_up{1}, resumed{1};
  std::atomic<bool> ran_there{false};
  open_source({.suspend =
                   [&] {
                     stopping.count_down();
                     given_up.wait();
                   },
               .resume = [&] { resumed.count_down(); }});
  open_destination({.suspend = {}, .resume = [&] { ran_there = true; }});
  try {
    destination->handover()->finalize(after(200ms));
    FAIL() << "handed over without stopping";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), ETIMEDOUT) << problem.what();
  }
  stopping.wait();
  given_up.count_down();
  resumed.wait();
  EXPECT_FALSE(ran_there);
  EXPECT_FALSE(is_writable(destination->region().memory[0]));
}

TEST_F(Sides, PassOnThatTheApplicationDidNotStop) {
  choose(kMiB);
  std::latch resumed{1};
  open_source({.suspend = [] { throw_errno("stopping the application", EIO); },
               .resume = [&] { resumed.count_down(); }});
  open_destination();
  try {
    destination->handover()->finalize(after(kPatience));
    FAIL() << "handed over a running application";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), EIO) << problem.what();
  }
  resumed.wait();
}

TEST_F(Sides, GiveTheApplicationBackWhenItCannotStartThere) {
  choose(kMiB);
  std::latch resumed{1};
  open_source({.suspend = [] {}, .resume = [&] { resumed.count_down(); }});
  open_destination(
      {.suspend = {}, .resume = [] { throw_errno("starting the application", ENOMEM); }});
  try {
    destination->handover()->finalize(after(kPatience));
    FAIL() << "runs nowhere";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), ENOMEM) << problem.what();
  }
  resumed.wait();
  EXPECT_THROW(source->sync(after(kPatience)), std::system_error) << "the connection has ended";
}

// A source of the test's own, which dies where the test says.
class DyingSource : public Sides {
 protected:
  void open_with(const WriterControl& control, std::function<void()> resume_there = {}) {
    choose(64 * 4096);
    listener_ = source_network_->listen(kServiceName);
    handing_ = std::async(std::launch::async, [this, control] {
      stream_ = listener_->accept(after(kPatience));
      Sender sender(*stream_, {}, after(kPatience));
      sender.offer(kRegionName, bytes_, after(kPatience));
      sender.sync({}, after(kPatience));
      // It may have come with the acknowledgement, and wait in the sender already.
      pollfd wait{stream_->descriptor(), POLLIN, 0};
      while (!sender.is_asked_to_hand_over(after(kPatience))) ::poll(&wait, 1, -1);
      try {
        sender.hand_over(control, after(kPatience));
      } catch (const std::system_error&) {
      }
      return sender.is_handed_over();
    });
    open_destination({.suspend = {}, .resume = std::move(resume_there)});
  }
  ~DyingSource() override { destination.reset(); }

  TestSource bytes_{seeded(64 * 4096, 1)};
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Stream> stream_;
  std::future<bool> handing_;
};

TEST_F(DyingSource, BeforeItsLastMessageKeepsTheApplication) {
  std::atomic<bool> ran_there{false}, resumed{false};
  open_with({.pause = [&] { stream_->shut_down(); }, .resume = [&] { resumed = true; }},
            [&] { ran_there = true; });
  try {
    destination->handover()->finalize(after(kPatience));
    FAIL() << "handed over by a source that has gone";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), ECONNRESET) << problem.what();
  }
  EXPECT_FALSE(handing_.get());
  EXPECT_TRUE(resumed);
  EXPECT_FALSE(ran_there);
}

TEST_F(DyingSource, AfterItsLastMessageHasHandedOver) {
  std::atomic<bool> resumed{false};
  open_with({.pause = [] {}, .resume = [&] { resumed = true; }}, [&] { stream_->shut_down(); });
  destination->handover()->finalize(after(kPatience));
  EXPECT_TRUE(handing_.get()) << "the application runs at the destination and must not here";
  EXPECT_FALSE(resumed);
  destination->handover()->settle(after(kPatience));
  EXPECT_TRUE(is_writable(destination->region().memory[0]));
}

// A destination of the test's own, which dies where the test says.
class DyingDestination : public Sides {
 protected:
  void serve(const std::function<void(ReceiverEvents&, Stream&)>& prepare) {
    choose(64 * 4096);
    open_source({.suspend =
                     [this] {
                       stopped_ = true;
                       if (while_stopping_) while_stopping_();
                     },
                 .resume = [this] { stopped_ = false; }});
    const auto stream = dial();
    ReceivedFolder folder(folder_.path(), Publish::versions, Durable::off);
    ReceiverEvents events;
    std::unique_ptr<Receiver> receiver;
    events.caught_up = [&] { receiver->ask_to_take_over(after(kPatience)); };
    prepare(events, *stream);
    receiver = std::make_unique<Receiver>(*stream, folder, events, after(kPatience));
    try {
      receiver->serve();
    } catch (const std::system_error&) {
    }
    stream->shut_down();
    const Deadline deadline = after(kPatience);
    while (failure_of(*source).empty()) ASSERT_LT(Clock::now(), deadline);
  }
  std::function<void()> while_stopping_;
  std::atomic<bool> stopped_{false};
};

TEST_F(DyingDestination, AfterAskingLeavesTheApplicationWhereItRuns) {
  std::latch gone{1};
  while_stopping_ = [&] { gone.wait(); };
  serve([&](ReceiverEvents& events, Stream& stream) {
    events.stopping = [&] {
      stream.shut_down();
      gone.count_down();
    };
  });
  EXPECT_FALSE(stopped_);
}

TEST_F(DyingDestination, WithTheLastRoundLeavesItStopped) {
  serve([](ReceiverEvents& events, Stream& stream) {
    events.published = [&stream](ReceivedFile&, const End&, bool is_final) {
      if (is_final) stream.shut_down();
    };
  });
  EXPECT_TRUE(stopped_) << "nobody can know whether it runs there";
}

// The request may come together with an acknowledgement: the thread that reads this one reads both,
// and the one that waits for the request sees nothing.
TEST_F(Sides, HearTheRequestThatComesWithAnAcknowledgement) {
  for (int repetition = 0; repetition < 30; ++repetition) {
    choose(64 * 4096);
    open_source();
    const auto stream = dial();
    FrameStream frames(*stream, Role::receiver);
    frames.greet(after(kPatience));
    std::future<void> syncing;
    bool is_stopping = false;
    for (uint64_t rounds = 0; !is_stopping;) {
      const FrameHeader header = frames.next(after(5s));
      if (header.kind == Kind::offer) {
        frames.send(Kind::have, 0, encode(Have{}));
      } else if (header.kind == Kind::end) {
        const End end = decode_end(frames.read_rest(after(kPatience)));
        frames.send(Kind::done, 0, encode(Done{end.round, end.table}));
        if (++rounds == 2) frames.send(Kind::take_over, 0, {});
        if (rounds == 1)
          syncing = std::async(std::launch::async, [&] {
            source->region().memory[0] ^= std::byte{1};  // or there would be nothing to say
            source->sync(after(kPatience));
          });
      } else if (header.kind == Kind::stopping) {
        is_stopping = true;
      } else {
        continue;
      }
      frames.flush(after(kPatience));
    }
    syncing.get();
    stream->shut_down();
    source.reset();
  }
}

// A destination that says nothing more keeps nobody from going.
TEST_F(Sides, EndWhileTheDestinationStalls) {
  for (const bool greets : {false, true}) {
    choose(8 * kMiB);
    open_source();
    const auto stream = dial();
    if (greets) {
      FrameStream frames(*stream, Role::receiver);
      frames.greet(after(kPatience));
      frames.next(after(kPatience));
      frames.send(Kind::have, 0, encode(Have{}));
      frames.flush(after(kPatience));
      frames.next(after(kPatience));  // the first round has begun
    }
    const auto start = Clock::now();
    EXPECT_EQ(failure_of(*source), "");
    source.reset();
    EXPECT_LT(Clock::now() - start, 30s) << "only the round's own limit has ended it";
  }
}

}  // namespace
}  // namespace mmap_push
}  // namespace memsync
