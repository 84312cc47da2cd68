#include "lib/transport/native/window_controller.h"

#include <algorithm>
#include <bit>

namespace memsync::native {

namespace {

// A least delay older than this is looked for again.
constexpr Nanoseconds kBaseLife = std::chrono::seconds(10);
constexpr uint32_t kAnswersPerRound = 8;  // at least: the least of a few is no measure
// So many rounds without a queue, although the window creeps up: the link has more to give.
constexpr uint32_t kRoundsBelow = 12;

double ns(Nanoseconds duration) {
  return static_cast<double>(duration.count());
}

}  // namespace

void WindowController::set_window(double bytes) noexcept {
  window_ = static_cast<uint64_t>(
      std::clamp(bytes, static_cast<double>(kWindowMin), static_cast<double>(kWindowMax)));
}

void WindowController::answered(uint64_t bytes, Deadline sent_at, Deadline now) noexcept {
  forgotten(bytes);
  if (!begun_) {
    begun_ = true;
    base_.fill(Nanoseconds::max());
    round_start_ = sent_at;
    first_answer_ = now;
    base_seen_ = now;
  }
  const Nanoseconds delay = std::max(now - sent_at, Nanoseconds(1));
  auto& base = base_[std::min<size_t>(static_cast<size_t>(std::bit_width(bytes)), kClasses - 1)];
  // As a difference: there may be no base yet.
  if (delay - delay / 32 <= base) base_seen_ = now;
  base = std::min(base, delay);
  least_queueing_ = std::min(least_queueing_, delay - base);
  least_delay_ = std::min(least_delay_, delay);
  if (round_answers_++ == 0) first_answer_ = now;
  if (phase_ == Phase::starting && limited_)
    set_window(std::min(static_cast<double>(window_) + growth_ * static_cast<double>(bytes),
                        2.0 * static_cast<double>(round_window_)));
  if (sent_at >= round_start_ && round_answers_ >= kAnswersPerRound) end_round(now);
}

void WindowController::leave_start() noexcept {
  phase_ = Phase::steady;
  rounds_above_ = rounds_below_ = 0;
}

void WindowController::end_round(Deadline now) noexcept {
  const double queueing = ns(least_queueing_);
  const double base = ns(least_delay_ - least_queueing_);
  const double target = ns(kTargetDelay);
  const double ideal = static_cast<double>(window_) * (base + target) / (base + queueing);
  if (dipping_) {
    dipping_ = false;
    base_seen_ = now;
    rounds_below_ = 0;
    set_window(static_cast<double>(window_before_dip_));
  } else if (phase_ == Phase::starting) {
    // How much of the round trip the answers filled: a full one means a full link.
    const double filled = ns(now - first_answer_) / std::max(ns(now - round_start_), 1.0);
    growth_ = std::clamp(1.0 / std::max(filled, 0.5) - 1.0, 0.05, 1.0);
    if (queueing > target) {
      leave_start();
      set_window(ideal);
    }
  } else {
    rounds_above_ = queueing > 1.5 * target ? rounds_above_ + 1 : 0;
    rounds_below_ = queueing < 0.3 * target ? rounds_below_ + 1 : 0;
    if (rounds_above_ >= 2) {
      set_window(std::max(ideal, static_cast<double>(window_) / 2));
      rounds_above_ = 0;
    } else if (limited_ && rounds_below_ >= kRoundsBelow) {
      set_window(static_cast<double>(window_) * 1.25);  // and see what that does first
      rounds_below_ = 0;
    } else if (limited_ && queueing <= 1.5 * target) {
      set_window((static_cast<double>(window_) + ideal) / 2);
    }
    if (now - base_seen_ > kBaseLife) {
      base_.fill(Nanoseconds::max());
      window_before_dip_ = window_;
      dipping_ = true;
      set_window(static_cast<double>(window_) * 0.75 * base / (base + queueing));
    }
  }
  round_start_ = now;
  round_window_ = window_;
  limited_ = false;
  round_answers_ = 0;
  least_queueing_ = least_delay_ = Nanoseconds::max();
}

}  // namespace memsync::native
