#include "netem/calibration.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <thread>

#include "lib/region/quantity.h"
#include "netem/probe_traffic.h"
#include "netem/real_time.h"

namespace memsync {

namespace {

constexpr double kRateTolerance = 0.03;
constexpr double kRttTolerance = 0.02;
constexpr double kRttTolerance_s = 0.0002;
constexpr unsigned kRoundTrips = 60;
constexpr auto kOverloadTime = std::chrono::milliseconds(200);

double quantile(const std::vector<Nanoseconds>& sorted, double share) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return seconds(sorted[static_cast<size_t>(std::llround(share * last))]);
}

std::string percent(double ratio) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.1f %%", ratio * 100);
  return text;
}

void add_problem(Calibration& result, const std::string& text) {
  result.problem += (result.problem.empty() ? "" : "; ") + text;
}

void judge_rtt(Calibration& result, const LinkShape& shape) {
  // The median of what is asked for: a round trip has jitter twice, half of it on average.
  const double wanted = seconds(shape.rtt + shape.jitter);
  const double tolerance =
      std::max(kRttTolerance_s, kRttTolerance * seconds(shape.rtt)) + seconds(shape.jitter) / 2;
  if (std::abs(result.rtt_p50_s - wanted) > tolerance)
    add_problem(result, "the median RTT is " +
                            format_duration(Nanoseconds(std::llround(result.rtt_p50_s * 1e9))) +
                            " instead of " +
                            format_duration(Nanoseconds(std::llround(wanted * 1e9))));
}

void judge_rate(Calibration& result, const LinkShape& shape, double measured, const char* way) {
  const double wanted = static_cast<double>(*shape.bits_per_second);
  const double off = measured / wanted - 1;
  if (std::abs(off) > kRateTolerance)
    add_problem(result, std::string("the rate ") + way + " is " + format_bit_rate(measured) +
                            " instead of " + format_bit_rate(wanted) + " (" + percent(off) + ")");
}

void judge_loss(Calibration& result, const LinkShape& shape, const LossCount& count) {
  const double sent = static_cast<double>(count.sent);
  const double measured = static_cast<double>(count.sent - count.received) / sent;
  result.loss_ratio = measured;
  // Four standard deviations of a counted share, and half a packet.
  const double spread =
      4 * std::sqrt(shape.loss_ratio * (1 - shape.loss_ratio) / sent) + 0.5 / sent;
  if (std::abs(measured - shape.loss_ratio) > spread)
    add_problem(result, "the loss is " + percent(measured) + " instead of " +
                            percent(shape.loss_ratio) + " of " + std::to_string(count.sent) +
                            " packets");
}

Calibration measure(Link& link) {
  const LinkShape& shape = link.shape();
  Calibration result;
  ProbeTraffic traffic(link);
  result.tcp_congestion_control = traffic.congestion_control();
  auto round_trips = traffic.round_trips(kRoundTrips);
  if (round_trips.empty()) {
    result.problem = "no probe came back";
    return result;
  }
  std::sort(round_trips.begin(), round_trips.end());
  result.rtt_probes = static_cast<unsigned>(round_trips.size());
  result.rtt_min_s = seconds(round_trips.front());
  result.rtt_p50_s = quantile(round_trips, 0.5);
  result.rtt_p99_s = quantile(round_trips, 0.99);
  judge_rtt(result, shape);
  if (shape.bits_per_second) {
    result.bits_per_second = traffic.overload(Way::forth, kOverloadTime, *shape.bits_per_second);
    result.bits_per_second_back =
        traffic.overload(Way::back, kOverloadTime, *shape.bits_per_second);
    judge_rate(result, shape, *result.bits_per_second, "source to destination");
    judge_rate(result, shape, *result.bits_per_second_back, "destination to source");
  }
  if (shape.loss_ratio > 0) judge_loss(result, shape, traffic.count_losses(kOverloadTime));
  return result;
}

}  // namespace

Calibration calibrate(Link& link) {
  Calibration result;
  std::exception_ptr failure;
  // A thread of its own, so that the real-time policy ends with it.
  std::jthread([&] {
    take_precedence(Precedence::probe);
    try {
      result = measure(link);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
  link.check_alive();
  return result;
}

}  // namespace memsync
