// What a link really does, found by means that are not the engine's own bookkeeping.
#pragma once

#include <optional>
#include <string>

#include "netem/link.h"

namespace memsync {

// In seconds, bits per second, shares. Empty: not asked of this shape (an unlimited rate, loss 0).
struct Calibration {
  double rtt_min_s = 0;
  double rtt_p50_s = 0;
  double rtt_p99_s = 0;
  unsigned rtt_probes = 0;                // answered
  std::optional<double> bits_per_second;  // source -> destination, IP packets, headers included
  std::optional<double> bits_per_second_back;  // destination -> source
  std::optional<double> loss_ratio;            // one way
  std::string tcp_congestion_control;          // as a socket on the link reports it
  std::string
      problem;  // "" when within tolerance: rate +-3 %, RTT +-max(0.2 ms, 2 %); else what is off
  bool ok() const { return problem.empty(); }
};

// Measures `link` with datagrams of its own: at least 50 round trips while idle, then 200 ms of
// overload each way whose arrivals are counted. Takes about 0.6 s + 2 RTT. Nothing else may use it.
Calibration calibrate(Link& link);

}  // namespace memsync
