// The rivals that are too simple to be wrong, held to the same promises.
#include <atomic>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "approaches/baselines/two_sides.h"
#include "approaches/registry.h"
#include "lib/backend/stores.h"
#include "lib/os/error.h"
#include "lib/region/digest.h"

namespace memsync {
void register_baselines(std::vector<const SyncStrategy*>& strategies);
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSeed = 5;
constexpr uint64_t kMiB = 1 << 20;

const SyncStrategy& named(std::string_view name) {
  static const auto kAll = [] {
    std::vector<const SyncStrategy*> all;
    register_baselines(all);
    return all;
  }();
  for (const SyncStrategy* strategy : kAll)
    if (strategy->info().name == name) return *strategy;
  throw std::invalid_argument(std::string(name));
}

void fill(std::span<std::byte> bytes) {
  fill_content(ContentKind::random, kSeed, bytes, 0);
}

class TcpCopy : public testing::TestWithParam<uint64_t> {
 protected:
  // UNIX sockets: the stream's kind is the network's business, and a fixed TCP port of this host
  // may be somebody else's.
  TcpCopy()
      : directory_(std::filesystem::temp_directory_path() /
                   ("memsync-copy-" + std::to_string(::getpid()))),
        source_network_((std::filesystem::create_directories(directory_),
                         make_unix_network("source", directory_.string()))),
        destination_network_(make_unix_network("destination0", directory_.string())) {}
  ~TcpCopy() override {
    destination_.reset();
    source_.reset();
    std::filesystem::remove_all(directory_);
  }

  SideSetup setup(uint64_t size, Network& network, std::unique_ptr<Backend> store) const {
    SideSetup result;
    result.geometry = {.size_bytes = size, .chunk_bytes = 4096};
    result.network = &network;
    result.store = std::move(store);
    return result;
  }
  void open(uint64_t size) {
    auto store = std::make_unique<MemoryBackend>(size);
    fill(store->mapping());
    source_ = named("tcp_copy").open_source(setup(size, *source_network_, std::move(store)));
    destination_ = named("tcp_copy")
                       .open_destination(setup(size, *destination_network_,
                                               std::make_unique<MemoryBackend>(size)));
  }

  const std::filesystem::path directory_;
  const std::unique_ptr<Network> source_network_;
  const std::unique_ptr<Network> destination_network_;
  std::unique_ptr<Side> source_;
  std::unique_ptr<Side> destination_;
};

TEST_P(TcpCopy, HasEveryByteWhenItHasOpened) {
  open(GetParam());
  EXPECT_EQ(digest_of(destination_->region().memory), digest_of(source_->region().memory));
  EXPECT_EQ(destination_->statistics().payload_received, GetParam());
  EXPECT_EQ(destination_->handover(), nullptr);
}
INSTANTIATE_TEST_SUITE_P(Sizes, TcpCopy,
                         testing::Values(1, 4095, 4096, 4097, kMiB, kMiB + 123, 8 * kMiB));

TEST_F(TcpCopy, SendsItAllAgainAtEachSync) {
  open(3 * kMiB + 1);
  for (int round = 1; round <= 3; ++round) {
    source_->region().memory[2 * kMiB] = static_cast<std::byte>(round);
    const auto report = source_->sync(after(10s));
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->payload_bytes, 3 * kMiB + 1);
    EXPECT_EQ(destination_->statistics().payload_received,
              static_cast<uint64_t>(round + 1) * (3 * kMiB + 1));
    EXPECT_EQ(destination_->region().memory[2 * kMiB], static_cast<std::byte>(round));
  }
  EXPECT_EQ(destination_->sync(after(1s)), std::nullopt);
}

TEST_F(TcpCopy, SendsFromAnythingThatHasReadAt) {
  const std::string path = directory_ / "content";
  std::vector<std::byte> content(2 * kMiB + 77);
  fill(content);
  {
    FileBackend file = FileBackend::create(path, content.size());
    file.write_at(content, 0);
  }
  const auto source =
      named("tcp_copy")
          .open_source(setup(content.size(), *source_network_,
                             std::make_unique<FileBackend>(path, FileBackend::Mode::read_only)));
  const auto destination =
      named("tcp_copy")
          .open_destination(setup(content.size(), *destination_network_,
                                  std::make_unique<MemoryBackend>(content.size())));
  EXPECT_EQ(digest_of(destination->region().memory), digest_of(content));
}

TEST_F(TcpCopy, RefusesASourceOfAnotherSize) {
  const auto source =
      named("tcp_copy")
          .open_source(setup(kMiB, *source_network_, std::make_unique<MemoryBackend>(kMiB)));
  try {
    named("tcp_copy")
        .open_destination(
            setup(kMiB + 1, *destination_network_, std::make_unique<MemoryBackend>(kMiB + 1)));
    FAIL() << "took a region of another size";
  } catch (const std::system_error& problem) {
    EXPECT_NE(std::string(problem.what()).find("1048576"), std::string::npos) << problem.what();
  }
}

TEST_F(TcpCopy, EndsASyncWhenTheDestinationIsGone) {
  open(8 * kMiB);
  destination_.reset();
  EXPECT_THROW(source_->sync(after(10s)), std::system_error);
}

TEST_F(TcpCopy, ClosesWhileNobodyHasConnected) {
  const auto source =
      named("tcp_copy")
          .open_source(setup(kMiB, *source_network_, std::make_unique<MemoryBackend>(kMiB)));
  EXPECT_THROW(source->sync(after(20ms)), std::system_error);
}

TEST(OpensslCopy, HasEveryByteAndSendsItAllAgainAtEachSync) {
  baselines::TwoSides both("openssl_copy", 3 * kMiB + 1);
  both.open();
  EXPECT_EQ(digest_of(both.destination->region().memory), digest_of(both.expected()));
  for (int round = 1; round <= 3; ++round) {
    both.source->region().memory[2 * kMiB] = static_cast<std::byte>(round);
    ASSERT_TRUE(both.source->sync(after(10s)));
    EXPECT_EQ(both.destination->region().memory[2 * kMiB], static_cast<std::byte>(round));
  }
}

TEST(OpensslCopy, EndsASyncWhenTheDestinationIsGone) {
  baselines::TwoSides both("openssl_copy", 8 * kMiB);
  both.open();
  both.destination.reset();
  EXPECT_THROW(both.source->sync(after(10s)), std::system_error);
}

// One memory file, mapped twice as two processes would, its last page for control.
class Floor : public testing::Test {
 protected:
  static constexpr uint64_t kSize = kMiB + 5;
  static constexpr uint64_t kPages = kMiB + 4096;

  Floor() : file_(FileDescriptor::memory_file("floor", kPages + 4096)) {}
  SideSetup setup() {
    SideSetup result;
    result.geometry = {.size_bytes = kSize, .chunk_bytes = 4096};
    result.store = std::make_unique<MemoryBackend>(Mapping::shared(file_, kSize));
    controls_.push_back(Mapping::shared(file_, kPages + 4096));
    result.shared_control = controls_.back().bytes().subspan(kPages, 4096);
    return result;
  }
  std::unique_ptr<Side> open_source() {
    SideSetup source = setup();
    source.suspend_app = [this] {
      if (suspend_fails_) throw_errno("stopping the application", EIO);
      suspended_ = true;
    };
    source.resume_app = [this] {
      suspended_ = false;
      suspended_.notify_all();
    };
    return named("floor").open_source(std::move(source));
  }

  const FileDescriptor file_;
  std::vector<Mapping> controls_;
  std::atomic<bool> suspended_{false};
  std::atomic<bool> suspend_fails_{false};
};

TEST_F(Floor, SharesEveryByteAtOnceAndMovesNone) {
  const auto source = open_source();
  const auto destination = named("floor").open_destination(setup());
  fill(source->region().memory);
  EXPECT_EQ(digest_of(destination->region().memory), digest_of(source->region().memory));
  const auto report = source->sync(after(1s));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->payload_bytes, 0u);
  EXPECT_EQ(destination->statistics().payload_received, 0u);
}

TEST_F(Floor, HandsOverWithoutTouchingTheRegion) {
  const auto source = open_source();
  bool resumed = false;
  SideSetup to = setup();
  to.resume_app = [&] { resumed = true; };
  const auto destination = named("floor").open_destination(std::move(to));
  fill(source->region().memory);
  const Digest before = digest_of(source->region().memory);
  const HandoverReport report = destination->handover()->finalize(after(10s));
  EXPECT_TRUE(suspended_ && resumed);
  EXPECT_GT(report.suspend, 0ns);
  EXPECT_EQ(report.transfer, 0ns);
  EXPECT_EQ(destination->handover()->settle(after(1s)), 0ns);
  EXPECT_EQ(digest_of(destination->region().memory), before);
}

TEST_F(Floor, ResumesTheSourceWhenTheDestinationCannotStart) {
  const auto source = open_source();
  SideSetup to = setup();
  to.resume_app = [] { throw_errno("starting the application", ENOMEM); };
  const auto destination = named("floor").open_destination(std::move(to));
  EXPECT_THROW(destination->handover()->finalize(after(10s)), std::system_error);
  suspended_.wait(true);
  EXPECT_FALSE(suspended_);
}

TEST_F(Floor, PassesOnThatTheApplicationDidNotStop) {
  const auto source = open_source();
  const auto destination = named("floor").open_destination(setup());
  suspend_fails_ = true;
  try {
    destination->handover()->finalize(after(10s));
    FAIL() << "handed over a running application";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), EIO);
  }
  suspend_fails_ = false;
  EXPECT_NO_THROW(destination->handover()->finalize(after(10s))) << "a second attempt may succeed";
  EXPECT_TRUE(suspended_);
}

TEST_F(Floor, DoesNotWaitForASourceThatIsGone) {
  const auto destination = named("floor").open_destination(setup());
  try {
    destination->handover()->finalize(after(30ms));
    FAIL() << "handed over from nobody";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code(), std::errc::timed_out);
  }
}

TEST_F(Floor, HandsOverBetweenProcesses) {
  SideSetup from = setup();
  SideSetup to = setup();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto memory = from.store->mapping();
    std::atomic<bool> stopped{false};
    from.suspend_app = [&] {
      memory[9] = std::byte{99};  // the last write before it stops
      stopped = true;
    };
    const auto source = named("floor").open_source(std::move(from));
    stopped.wait(false);
    ::pause();
  }
  const auto destination = named("floor").open_destination(std::move(to));
  destination->handover()->finalize(after(10s));
  EXPECT_EQ(destination->region().memory[9], std::byte{99});
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(Floor, RefusesASideWithoutAControlPage) {
  SideSetup source = setup();
  source.shared_control = {};
  EXPECT_THROW(named("floor").open_source(std::move(source)), std::invalid_argument);
}

}  // namespace
}  // namespace memsync
