#include "harness/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

namespace memsync {

namespace {

std::string minutes_and_seconds(double seconds_left) {
  const auto whole = std::llround(seconds_left);
  if (whole < 90) return fmt::format("{} s", whole);
  if (whole < 5400) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole / 60 % 60);
}

}  // namespace

Progress::Progress(uint64_t total, Nanoseconds estimated)
    : terminal_(::isatty(STDERR_FILENO) == 1), total_(total), estimated_left_(estimated) {}

Progress::~Progress() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

std::string Progress::time_left() const {
  // The plan's estimate, corrected by how the repetitions so far compared with theirs.
  double correction = 1;
  if (estimated_done_ > std::chrono::seconds(1))
    correction = seconds(Clock::now() - start_) / seconds(estimated_done_);
  return minutes_and_seconds(seconds(estimated_left_) * std::max(correction, 0.05));
}

void Progress::draw(const std::string& text) {
  if (terminal_)
    std::fputs(fmt::format("\r\033[K{}", text).c_str(), stderr);
  else
    std::fputs((text + "\n").c_str(), stderr);
  std::fflush(stderr);
}

void Progress::begin(const std::string& what) {
  what_ = what;
  if (terminal_)
    draw(fmt::format("[{}/{}] {} ... about {} left", done_ + 1, total_, what, time_left()));
}

void Progress::end(const std::string& status, const std::string& detail, Nanoseconds estimated) {
  ++done_;
  estimated_done_ += estimated;
  estimated_left_ -= std::min(estimated_left_, estimated);
  if (status != "ok") {
    note(fmt::format("[{}/{}] {}: {}: {}", done_, total_, what_, status, detail));
  } else if (!terminal_) {
    draw(fmt::format("[{}/{}] {}: ok, about {} left", done_, total_, what_, time_left()));
  }
}

void Progress::note(const std::string& text) {
  if (terminal_) std::fputs("\r\033[K", stderr);
  std::fputs((text + "\n").c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace memsync
