// The window against simulated links: time is computed here, so every run is the same.
#include "lib/transport/native/window_controller.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <queue>
#include <vector>

#include "lib/region/content.h"

namespace memsync::native {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kChunk = 64U << 10;

struct LinkModel {
  Nanoseconds rtt;
  double bytes_per_second;
  // Single answers that are late because their thread was: share, and 1 to 3 ms.
  double late_share = 0;
};

struct Outcome {
  double utilisation = 0;      // of the link, after the warm-up
  Nanoseconds queueing_p99{};  // wait behind others, after the warm-up
  Nanoseconds queueing_median{};
  Nanoseconds queueing_start{};  // most during the warm-up
};

// One bottleneck, first in first out, with an endless queue; always something to ask for.
Outcome simulate(const LinkModel& model, Nanoseconds span, Nanoseconds warm_up, uint64_t seed = 1,
                 uint64_t chunk = kChunk) {
  WindowController window;
  SeededDraws draws(seed);
  struct Answer {
    Deadline at;
    Deadline sent_at;
    bool operator>(const Answer& other) const { return at > other.at; }
  };
  std::priority_queue<Answer, std::vector<Answer>, std::greater<>> answers;
  const Deadline start{std::chrono::seconds(1000)};
  Deadline now = start;
  Deadline link_free = start;
  const auto transmission =
      Nanoseconds(std::llround(static_cast<double>(chunk) / model.bytes_per_second * 1e9));
  std::vector<Nanoseconds> waits;
  Outcome outcome;
  uint64_t moved = 0;
  while (now < start + span) {
    while (window.may_send()) {
      const Deadline arrival = now + model.rtt / 2;  // at the bottleneck
      const Deadline begins = std::max(arrival, link_free);
      link_free = begins + transmission;
      const Nanoseconds wait = begins - arrival;
      if (now - start >= warm_up) {
        waits.push_back(wait);
        moved += chunk;
      } else {
        outcome.queueing_start = std::max(outcome.queueing_start, wait);
      }
      Nanoseconds late{};
      if (draws.fraction() < model.late_share)
        late = milliseconds(1) + Nanoseconds(static_cast<int64_t>(draws.fraction() * 2e6));
      answers.push({link_free + model.rtt / 2 + late, now});
      window.sent(chunk);
    }
    window.was_full();
    const Answer next = answers.top();
    answers.pop();
    now = std::max(now, next.at);
    window.answered(chunk, next.sent_at, now);
  }
  std::sort(waits.begin(), waits.end());
  outcome.queueing_p99 = waits[waits.size() * 99 / 100];
  outcome.queueing_median = waits[waits.size() / 2];
  outcome.utilisation =
      static_cast<double>(moved) / (seconds(span - warm_up) * model.bytes_per_second);
  return outcome;
}

Nanoseconds transmission_of(uint64_t bytes, const LinkModel& model) {
  return Nanoseconds(std::llround(static_cast<double>(bytes) / model.bytes_per_second * 1e9));
}

class Links : public testing::TestWithParam<LinkModel> {};
INSTANTIATE_TEST_SUITE_P(
    Window, Links,
    testing::Values(LinkModel{std::chrono::microseconds(100), 2e9},
                    LinkModel{milliseconds(5), 125e6}, LinkModel{milliseconds(25), 125e6},
                    LinkModel{milliseconds(50), 12.5e6}),
    [](const auto& made) {
      return std::to_string(made.param.rtt.count() / 1000) + "us_" +
             std::to_string(static_cast<int>(made.param.bytes_per_second / 1e6)) + "MBps";
    });

TEST_P(Links, AreFilledToNineTenthsWithAQueueOfOneChunkAndHalfAMillisecond) {
  for (const uint64_t chunk : {uint64_t{4096}, kChunk}) {
    const Outcome outcome =
        simulate(GetParam(), std::chrono::seconds(GetParam().rtt < milliseconds(1) ? 12 : 30),
                 40 * GetParam().rtt + milliseconds(20), 1, chunk);
    EXPECT_GE(outcome.utilisation, 0.9) << "chunk " << chunk;
    // One chunk is always allowed above the window.
    const Nanoseconds allowed = WindowController::kTargetDelay + transmission_of(chunk, GetParam());
    EXPECT_LE(outcome.queueing_median.count(), allowed.count()) << "chunk " << chunk;
    EXPECT_LE(outcome.queueing_p99.count(), (allowed + WindowController::kTargetDelay).count())
        << "chunk " << chunk;
    EXPECT_LE(outcome.queueing_start.count(), (allowed + GetParam().rtt).count())
        << "while starting, chunk " << chunk;
  }
}

TEST_P(Links, AreFilledThoughSingleAnswersComeLate) {
  LinkModel noisy = GetParam();
  noisy.late_share = 0.05;
  for (const uint64_t seed : {1U, 2U, 3U}) {
    const Outcome outcome =
        simulate(noisy, std::chrono::seconds(15), 60 * noisy.rtt + milliseconds(20), seed);
    EXPECT_GE(outcome.utilisation, 0.9) << "seed " << seed;
  }
}

TEST(WindowController, NeverAllowsMoreThanOneRequestAboveItsWindow) {
  WindowController window;
  while (window.may_send()) window.sent(kChunk);
  EXPECT_LE(window.in_flight_bytes(), window.window_bytes() + kChunk);
}

TEST(WindowController, TakesBackWhatIsForgotten) {
  WindowController window;
  window.sent(1000);
  window.forgotten(1000);
  EXPECT_EQ(window.in_flight_bytes(), 0u);
}

TEST(WindowController, DoesNotGrowWhileThereIsTooLittleToAskFor) {
  WindowController window;
  Deadline now{std::chrono::seconds(5)};
  for (int i = 0; i < 1000; ++i) {
    window.sent(4096);
    now += milliseconds(5);
    window.answered(4096, now - milliseconds(5), now);
  }
  EXPECT_EQ(window.window_bytes(), WindowController::kWindowStart);
}

}  // namespace
}  // namespace memsync::native
