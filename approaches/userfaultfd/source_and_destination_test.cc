// Both sides of the approach over the native transport and real sockets, in one process.
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>

#include "approaches/userfaultfd/touch.h"
#include "approaches/userfaultfd/two_hosts.h"

namespace memsync {
namespace userfaultfd {
namespace {

using namespace std::chrono_literals;

TEST_F(TwoHosts, ShareTheBytesOfAnyReader) {
  constexpr uint64_t kSize = 5 * kMiB + 123;
  open(std::make_unique<PatternStore>(kSize));
  EXPECT_EQ(destination_->region().memory.size(), kSize);
  EXPECT_EQ(digest_of(destination_->region().memory), digest_of_pattern(kSize));
  EXPECT_EQ(destination_->sync(after(1s)), std::nullopt);
  EXPECT_EQ(source_->sync(after(1s)), std::nullopt);
  EXPECT_EQ(destination_->service(), nullptr);
}

TEST_F(TwoHosts, HandTheRegionOverAndTheRestFollows) {
  constexpr uint64_t kSize = 8 * kMiB + 1000;
  open_filled(kSize);
  const auto theirs = source_->region().memory;
  const auto ours = destination_->region().memory;
  EXPECT_EQ(ours[0], expected_at(0));  // pulled before the source writes it
  last_writes_ = [theirs] {
    theirs[0] = std::byte{0xaa};
    theirs[kMiB] = std::byte{0xbb};
  };

  const HandoverReport report = destination_->handover()->finalize(after(10s));
  EXPECT_TRUE(suspended_ && resumed_);
  EXPECT_EQ(report.payload_bytes, 0u);
  EXPECT_GT(report.downtime(), 0ns);
  EXPECT_EQ(ours[0], std::byte{0xaa}) << "kept a byte of before the hand-over";
  ours[5 * kMiB] = std::byte{0xcc};  // the new owner's own write

  destination_->handover()->settle(after(20s));
  std::vector<std::byte> expected(kSize);
  fill_content(ContentKind::random, kSeed, expected, 0);
  expected[0] = std::byte{0xaa};
  expected[kMiB] = std::byte{0xbb};
  expected[5 * kMiB] = std::byte{0xcc};
  EXPECT_EQ(digest_of(ours), digest_of(expected));
  EXPECT_EQ(destination_->statistics().chunks_local, (kSize + 4095) / 4096);
}

TEST_F(TwoHosts, HandTheRegionOnToAThird) {
  constexpr uint64_t kSize = 2 * kMiB + 5;
  open_filled(kSize);
  destination_->handover()->finalize(after(10s));
  destination_->handover()->settle(after(20s));
  ASSERT_NE(destination_->service(), nullptr);
  destination_->region().memory[7] = std::byte{0x77};
  source_.reset();  // nothing of it is needed any more

  // The new owner takes the source's part towards the next host.
  const auto network = make_unix_network("source", folder_.path());
  SideSetup third = setup(kSize, *destination_network_);
  third.region.epoch += 1;
  third.store = std::make_unique<MemoryBackend>(kSize);
  const auto served = native_transport().serve(*network, "region", third.geometry, third.region,
                                               *destination_->service());
  const auto side = strategy().open_destination(std::move(third));
  side->handover()->finalize(after(10s));
  side->handover()->settle(after(20s));
  EXPECT_EQ(digest_of(side->region().memory), digest_of(destination_->region().memory));
  EXPECT_EQ(side->region().memory[7], std::byte{0x77});
}

TEST_F(TwoHosts, ThatFailToHandOverLeaveTheSourceTheOwner) {
  open_filled(kMiB);
  EXPECT_EQ(destination_->region().memory[0], expected_at(0));
  source_.reset();
  EXPECT_THROW(destination_->handover()->finalize(after(2s)), std::system_error);
  EXPECT_FALSE(resumed_);
}

TEST_F(TwoHosts, GiveTheRegionBackWhenTheDestinationsAppCannotStart) {
  auto store = std::make_unique<MemoryBackend>(kMiB);
  SideSetup source = setup(kMiB, *source_network_);
  source.store = std::move(store);
  source.suspend_app = [this] { suspended_ = true; };
  source.resume_app = [this] { suspended_ = false; };
  source_ = strategy().open_source(std::move(source));
  SideSetup destination = setup(kMiB, *destination_network_);
  destination.store = std::make_unique<MemoryBackend>(kMiB);
  destination.resume_app = [] { throw_errno("starting the application", ENOMEM); };
  destination_ = strategy().open_destination(std::move(destination));
  EXPECT_THROW(destination_->handover()->finalize(after(5s)), std::system_error);
  EXPECT_FALSE(suspended_) << "the source's application was not told to go on";
  EXPECT_EQ(destination_->region().memory[100], std::byte{0}) << "reading goes on as before";
}

TEST_F(TwoHosts, ReportWhichBytesWereLostWithTheSource) {
  open_filled(8 * kMiB);
  destination_->handover()->finalize(after(10s));
  EXPECT_EQ(destination_->region().memory[0], expected_at(0));
  source_.reset();
  try {
    destination_->handover()->settle(after(20s));
    FAIL() << "settled without a source";
  } catch (const std::system_error& problem) {
    EXPECT_NE(std::string(problem.what()).find("bytes are lost ("), std::string::npos)
        << problem.what();
  }
  EXPECT_EQ(userfaultfd::touch(&destination_->region().memory[7 * kMiB]), std::nullopt);
  EXPECT_EQ(userfaultfd::touch(&destination_->region().memory[0]), expected_at(0));
  EXPECT_EQ(destination_->service(), nullptr) << "offers bytes it does not have";
}

TEST_F(TwoHosts, RefuseAStoreOfAnotherSize) {
  SideSetup source = setup(kMiB, *source_network_);
  source.store = std::make_unique<MemoryBackend>(kMiB - 1);
  EXPECT_THROW(strategy().open_source(std::move(source)), std::invalid_argument);
}

// A source that is killed, not closed: threads that wait for its pages must not sleep for ever.
TEST_F(TwoHosts, LetNobodySleepForEverWhenTheSourceIsKilled) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto network = make_unix_network("source", folder_.path());
    SideSetup source = setup(64 * kMiB, *network);
    // Late enough that requests are outstanding when it dies.
    class Slow : public PatternStore {
     public:
      using PatternStore::PatternStore;
      void read_at(std::span<std::byte> into, uint64_t offset) override {
        if (offset >= kMiB) std::this_thread::sleep_for(60s);
        PatternStore::read_at(into, offset);
      }
    };
    source.store = std::make_unique<Slow>(64 * kMiB);
    const auto side = strategy().open_source(std::move(source));
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  SideSetup destination = setup(64 * kMiB, *destination_network_);
  destination.store = std::make_unique<MemoryBackend>(64 * kMiB);
  const Options options(strategy().info().options, {{"prefetch", "none"}, {"deadline", "20s"}});
  destination.options = &options;
  destination_ = strategy().open_destination(std::move(destination));
  const auto memory = destination_->region().memory;
  EXPECT_EQ(userfaultfd::touch(&memory[0]), expected_at(0));
  std::vector<std::jthread> threads;
  for (uint64_t number = 1; number <= 4; ++number)
    threads.emplace_back(
        [&, number] { EXPECT_EQ(userfaultfd::touch(&memory[number * 8 * kMiB]), std::nullopt); });
  while (*destination_->statistics().faults < 5) std::this_thread::yield();
  const auto killed = Clock::now();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  threads.clear();
  EXPECT_LT(Clock::now() - killed, 10s) << "waited for the deadline though the peer was seen to go";
  EXPECT_THROW(destination_->rethrow_failure(), std::system_error);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Strategy, NamesWhatIsWrongWithItsOptions) {
  const auto unmet = [](std::map<std::string, std::string> given) {
    const auto problems =
        strategy().unmet_requirements(Options(strategy().info().options, std::move(given)));
    return problems.empty() ? "" : problems.back();
  };
  EXPECT_EQ(unmet({}), "");
  EXPECT_NE(unmet({{"unit", "5000B"}}).find("'unit'"), std::string::npos);
  EXPECT_NE(unmet({{"unit", "2MiB"}}).find("'unit'"), std::string::npos);
  EXPECT_NE(unmet({{"window", "4KiB"}}).find("'window'"), std::string::npos);
  EXPECT_NE(unmet({{"deadline", "0s"}}).find("'deadline'"), std::string::npos);
  EXPECT_NE(unmet({{"handlers", "0"}}).find("'handlers'"), std::string::npos);
  EXPECT_NE(unmet({{"handlers", "17"}}).find("'handlers'"), std::string::npos);
  EXPECT_NE(unmet({{"handler_cpu", "100000"}}).find("'handler_cpu'"), std::string::npos);
  EXPECT_NE(unmet({{"handler_cpu", "first"}}).find("'handler_cpu'"), std::string::npos);
  EXPECT_NE(unmet({{"share", "101%"}}).find("'share'"), std::string::npos);
  EXPECT_NE(unmet({{"share", "50%"}, {"track", "none"}}).find("'share'"), std::string::npos);
  EXPECT_NE(unmet({{"writes", "back"}, {"track", "none"}}).find("'writes'"), std::string::npos);
  EXPECT_NE(
      unmet({{"writes", "back"}, {"track", "faults"}, {"handler", "sigbus"}}).find("'handler'"),
      std::string::npos);
}

}  // namespace
}  // namespace userfaultfd
}  // namespace memsync
