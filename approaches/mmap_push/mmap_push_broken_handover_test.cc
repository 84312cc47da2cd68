// A hand-over that goes wrong: who owns the region then, and that nobody waits for ever.
#include <atomic>
#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <poll.h>

#include "approaches/mmap_push/push_pair.h"
#include "approaches/mmap_push/sides_pair.h"
#include "lib/os/error.h"

namespace memsync::mmap_push {
namespace {

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
    EXPECT_THROW(source->sync(after(20ms)), std::system_error) << "there is no first copy";
    EXPECT_EQ(failure_of(*source), "");
    source.reset();
    EXPECT_LT(Clock::now() - start, 30s) << "only the round's own limit has ended it";
  }
}

}  // namespace
}  // namespace memsync::mmap_push
