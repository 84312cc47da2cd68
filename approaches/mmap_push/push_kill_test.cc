// Kill -9 of either end at any step: readers have a whole version, and the next process goes on.
#include <csignal>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "approaches/mmap_push/raw_peer.h"

namespace memsync::mmap_push {
namespace {

using std::byte;

// The process dies when so many bytes have passed in one direction; what was asked for beyond them
// has not.
class DeadlyStream : public Stream {
 public:
  DeadlyStream(Stream& next, size_t reads, size_t writes)
      : next_(next), reads_(reads), writes_(writes) {}
  std::optional<size_t> read_some(std::span<const iovec> into) override {
    return pass(into, reads_, [&](const iovec& part) { return next_.read_some({&part, 1}); });
  }
  std::optional<size_t> write_some(std::span<const iovec> from) override {
    return pass(from, writes_, [&](const iovec& part) { return next_.write_some({&part, 1}); });
  }
  int descriptor() const noexcept override { return next_.descriptor(); }
  void shut_down() noexcept override { next_.shut_down(); }
  uint64_t bytes_read() const noexcept override { return next_.bytes_read(); }
  uint64_t bytes_written() const noexcept override { return next_.bytes_written(); }

 private:
  template <typename Move>
  static std::optional<size_t> pass(std::span<const iovec> parts, size_t& left, Move move) {
    if (left == 0) ::raise(SIGKILL);
    const iovec part{parts[0].iov_base, std::min(parts[0].iov_len, left)};
    const auto moved = move(part);
    left -= moved.value_or(0);
    return moved;
  }

  Stream& next_;
  size_t reads_, writes_;
};

constexpr size_t kNever = SIZE_MAX;

// The three versions of a push with two rounds.
Bytes version(int number) {
  Bytes bytes = seeded(9 * 4096 + 100, 1);
  if (number == 0) return seeded(20'000, 7);
  if (number == 2) {
    std::fill_n(bytes.begin() + 100, 20, byte{1});
    std::fill_n(bytes.begin() + 2 * 4096, 8192, byte{0});
    std::fill_n(bytes.begin() + 5 * 4096, 4096, byte{9});
    bytes.resize(8 * 4096 + 1);
  }
  return bytes;
}

void push_both(Stream& stream) {
  TestSource source(version(1), true);
  const Deadline deadline = after(PushPair::kPatience);
  Sender sender(stream, {.compression = Compression::zstd}, deadline);
  sender.offer("data", source, deadline);
  sender.sync({}, deadline);
  const Bytes second = version(2);
  source.write(100, Bytes(20, byte{1}));
  source.write(2 * 4096, Bytes(8192));
  source.write(5 * 4096, Bytes(4096, byte{9}));
  source.bytes.resize(second.size());
  sender.sync({}, deadline);
}

// Runs in a process of its own, which is reaped. Returns whether it was killed.
class Child {
 public:
  explicit Child(const std::function<void()>& run) : pid_(check(::fork(), "fork")) {
    if (pid_ != 0) return;
    try {
      run();
    } catch (const std::exception&) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  bool was_killed() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

 private:
  const pid_t pid_;
};

class Killing : public testing::TestWithParam<Publish> {
 protected:
  Killing() : folder_(TemporaryFolder::make(kMemoryFolder)) { start_anew(); }
  void start_anew() {
    std::filesystem::remove_all(data());
    put_file(data(), version(0));
  }
  std::string data() const { return folder_.path() + "/data"; }
  void expect_a_whole_version() const {
    if (GetParam() == Publish::in_place) return;  // it promises none
    const Bytes now = file_bytes(data());
    EXPECT_TRUE(now == version(0) || now == version(1) || now == version(2));
  }
  // Everybody is alive, and the folder as it was left.
  void expect_to_converge() const {
    auto [ours, theirs] = stream_pair();
    auto serving = std::async(std::launch::async, [&, &stream = *theirs] {
      ReceivedFolder folder(folder_.path(), GetParam(), Durable::off);
      Receiver(stream, folder, {}, after(PushPair::kPatience)).serve();
    });
    push_both(*ours);
    ours->shut_down();
    serving.get();
    EXPECT_EQ(file_bytes(data()), version(2));
  }

  enum class Event : uint8_t { none, published, caught_up };
  // A receiver that dies. Returns whether it did.
  bool kill_receiver(size_t reads, size_t writes, Event event, unsigned nth) const {
    auto [ours, theirs] = stream_pair();
    Child child([&] {
      ours.reset();
      DeadlyStream stream(*theirs, reads, writes);
      ReceivedFolder folder(folder_.path(), GetParam(), Durable::off);
      ReceiverEvents events;
      unsigned count = 0;
      const auto die = [&] {
        if (count++ == nth) ::raise(SIGKILL);
      };
      if (event == Event::published)
        events.published = [&](ReceivedFile&, const End&, bool) { die(); };
      if (event == Event::caught_up) events.caught_up = die;
      Receiver(stream, folder, events, after(PushPair::kPatience)).serve();
    });
    theirs.reset();
    ending_of([&, &stream = *ours] { push_both(stream); });
    ours.reset();
    return child.was_killed();
  }
  bool kill_source(size_t reads, size_t writes) const {
    auto [ours, theirs] = stream_pair();
    Child child([&] {
      theirs.reset();
      DeadlyStream stream(*ours, reads, writes);
      push_both(stream);
    });
    ours.reset();
    const Ending ending = ending_of([&, &stream = *theirs] {
      ReceivedFolder folder(folder_.path(), GetParam(), Durable::off);
      Receiver(stream, folder, {}, after(PushPair::kPatience)).serve();
    });
    EXPECT_TRUE(!ending.code || ending.code == of_errno(ECONNRESET) ||
                ending.code == of_errno(EPIPE))
        << ending.text;
    return child.was_killed();
  }

  const TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Killing, testing::Values(Publish::versions, Publish::in_place),
                         [](const auto& test) {
                           return test.param == Publish::versions ? "versions" : "in_place";
                         });

TEST_P(Killing, TheReceiverAtAnyByteThatItReads) {
  unsigned killed = 0;
  for (size_t at = 0; killed == at / 997; at += 997) {
    SCOPED_TRACE("after " + std::to_string(at) + " bytes");
    start_anew();
    if (kill_receiver(at, kNever, Event::none, 0)) ++killed;
    expect_a_whole_version();
    expect_to_converge();
  }
  EXPECT_GT(killed, 20u);
}

TEST_P(Killing, TheReceiverBeforeAnyByteThatItSays) {
  unsigned killed = 0;
  for (size_t at = 0; killed == at / 29; at += 29) {
    start_anew();
    if (kill_receiver(kNever, at, Event::none, 0)) ++killed;
    expect_a_whole_version();
    expect_to_converge();
  }
  EXPECT_GT(killed, 5u);
}

TEST_P(Killing, TheReceiverBetweenPublishingAndCatchingUpAndAfterIt) {
  for (const Event event : {Event::published, Event::caught_up})
    for (const unsigned nth : {0u, 1u}) {
      start_anew();
      EXPECT_TRUE(kill_receiver(kNever, kNever, event, nth));
      EXPECT_EQ(file_bytes(data()), version(nth == 0 ? 1 : 2)) << "it was published";
      expect_to_converge();
    }
}

TEST_P(Killing, TheSourceAtAnyByteThatItSays) {
  unsigned killed = 0;
  for (size_t at = 0; killed == at / 997; at += 997) {
    SCOPED_TRACE("after " + std::to_string(at) + " bytes");
    start_anew();
    if (kill_source(kNever, at)) ++killed;
    expect_a_whole_version();
    expect_to_converge();
  }
  EXPECT_GT(killed, 20u);
}

TEST_P(Killing, TheSourceBeforeAnyByteThatItHears) {
  unsigned killed = 0;
  for (size_t at = 0; killed == at / 29; at += 29) {
    start_anew();
    if (kill_source(at, kNever)) ++killed;
    expect_a_whole_version();
    expect_to_converge();
  }
  EXPECT_GT(killed, 5u);
}

}  // namespace
}  // namespace memsync::mmap_push
