// Makes one link and calibrates it: what the tests in the virtual machine run, and people by hand.
//   calibrate_probe ENGINE RATE RTT [LOSS [JITTER]]      e.g.  calibrate_probe tun 1Gbit/s 25ms
//   0.1%
// RATE may be `unlimited`. Exit code 0: within tolerance; 1: not; 64: usage; 70: no link.
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "lib/region/quantity.h"
#include "netem/calibration.h"

namespace {

using namespace memsync;

LinkSetup setup_of(int argc, char** argv) {
  if (argc < 4 || argc > 6)
    throw std::invalid_argument("usage: calibrate_probe ENGINE RATE RTT [LOSS [JITTER]]");
  LinkSetup setup;
  const std::string engine = argv[1];
  bool known = false;
  for (const LinkEngine candidate : {LinkEngine::none, LinkEngine::tun, LinkEngine::tc})
    if (engine == engine_name(candidate)) {
      setup.engine = candidate;
      known = true;
    }
  if (!known) throw std::invalid_argument("unknown engine " + engine + " (none, tun, tc)");
  if (std::string(argv[2]) != "unlimited") setup.shape.bits_per_second = parse_bit_rate(argv[2]);
  setup.shape.rtt = parse_duration(argv[3]);
  if (argc > 4) setup.shape.loss_ratio = parse_ratio(argv[4]);
  if (argc > 5) setup.shape.jitter = parse_duration(argv[5]);
  return setup;
}

void print(const char* name, const std::optional<double>& value) {
  if (value) std::printf(" %s=%.6g", name, *value);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const LinkSetup setup = setup_of(argc, argv);
    const auto start = Clock::now();
    const auto link = make_link(setup);
    const auto up = Clock::now();
    const Calibration result = calibrate(*link);
    const auto done = Clock::now();
    std::printf("%s engine=%s link=\"%s\" rtt_min_s=%.6f rtt_p50_s=%.6f rtt_p99_s=%.6f probes=%u",
                result.ok() ? "ok" : "off", std::string(engine_name(setup.engine)).c_str(),
                describe(setup.shape).c_str(), result.rtt_min_s, result.rtt_p50_s, result.rtt_p99_s,
                result.rtt_probes);
    print("bits_per_second", result.bits_per_second);
    print("bits_per_second_back", result.bits_per_second_back);
    print("loss_ratio", result.loss_ratio);
    std::printf(" tcp_cc=%s setup_s=%.3f calibrate_s=%.3f engine_cpu_s=%.3f%s%s\n",
                result.tcp_congestion_control.c_str(), seconds(up - start), seconds(done - up),
                seconds(link->engine_cpu()),
                result.ok() ? "" : " problem: ", result.problem.c_str());
    return result.ok() ? 0 : 1;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 64;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "calibrate_probe: %s\n", error.what());
    return 70;
  }
}
