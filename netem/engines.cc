// Which engines can run here, and what each of them can make.
#include <exception>
#include <functional>
#include <stdexcept>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/process.h"
#include "lib/os/tun_device.h"
#include "lib/region/quantity.h"
#include "netem/link.h"
#include "netem/probe_traffic.h"
#include "netem/topology.h"

namespace memsync {

namespace {

EngineState probe(LinkEngine engine, const std::string& next_step,
                  const std::function<void(const NetworkNamespace&)>& attempt) {
  EngineState state{.engine = engine, .available = false, .reason = {}, .next_step = {}};
  try {
    const NetworkNamespace throwaway = NetworkNamespace::create();
    attempt(throwaway);
    state.available = true;
  } catch (const std::exception& error) {
    state.reason = error.what();
    state.next_step = next_step;
  }
  return state;
}

void add_veth(const NetworkNamespace& network) {
  run_batch("ip", "link add name probe type veth peer name peer\n", network);
}

}  // namespace

std::vector<EngineState> probe_engines() {
  const bool root = ::geteuid() == 0;
  const std::string as_root =
      root ? "run as root of the machine, not of a container" : "run as root";
  return {probe(LinkEngine::tc,
                root ? "use engine tun, or scripts/vm/run for a kernel with netem" : as_root,
                [](const NetworkNamespace& network) {
                  add_veth(network);
                  run_batch("tc", "qdisc add dev probe root netem limit 10 delay 1ms\n", network);
                }),
          probe(LinkEngine::tun, as_root,
                [](const NetworkNamespace& network) {
                  network.run([] { make_tun_device("tun-probe", Offloads::on); });
                  add_veth(network);
                }),
          probe(LinkEngine::none, as_root, add_veth)};
}

std::string shape_problem(LinkEngine engine, const LinkShape& shape) {
  if (shape.rtt.count() < 0 || shape.jitter.count() < 0) return "a delay can't be negative";
  if (!(shape.loss_ratio >= 0 && shape.loss_ratio < 1))
    return "a loss must be at least 0 and below 1";
  if (shape.bits_per_second && *shape.bits_per_second < 8000)
    return "a rate must be at least 8 kbit/s";
  if (engine == LinkEngine::none) {
    if (shape == LinkShape{}) return "";
    return "engine none only forwards: it has no rate, delay, loss, jitter or queue";
  }
  return "";
}

}  // namespace memsync
