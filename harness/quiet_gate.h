// Waits before a repetition while others use the machine, but never for ever.
//
//   look ── quiet ──▶ run
//    ▲ └─── busy ───▶ pause ─┐        until the repetition's or the campaign's patience ends:
//    └───────────────────────┘        run all the same, and mark the row
#pragma once

#include <functional>

#include "lib/os/clock.h"

namespace memsync {

// Share of this machine's CPUs that others want right now: how many tasks can run besides this one,
// asked 10 times within 20 ms, by all CPUs. 0 where the kernel doesn't tell.
double others_wanting_cpus();

// How long pauses may be together; looks come on top.
struct GatePatience {
  Nanoseconds repetition = std::chrono::seconds(3);
  Nanoseconds campaign{};  // all its repetitions together
  Nanoseconds pause = std::chrono::milliseconds(100);
};

// Threads: one.
class QuietGate {
 public:
  // others   says what share of the machine others use right now
  explicit QuietGate(const GatePatience& patience,
                     std::function<double()> others = others_wanting_cpus)
      : patience_(patience), left_(patience.campaign), others_(std::move(others)) {}

  // Returns whether the machine is quiet, at the latest when its patience has ended. Before each
  // pause it calls `on_pause` with the others' share; what that throws ends the wait.
  bool wait(const std::function<void(double others)>& on_pause);

 private:
  const GatePatience patience_;
  Nanoseconds left_;
  const std::function<double()> others_;
};

}  // namespace memsync
