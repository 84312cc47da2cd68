// Which engines can run here, and what each of them can make.
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mutex.h"
#include "lib/os/process.h"
#include "lib/os/tun_device.h"
#include "lib/region/quantity.h"
#include "netem/engine_links.h"
#include "netem/link.h"
#include "netem/probe_traffic.h"
#include "netem/real_time.h"
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

// Whether packets pass one by one, as they must when they can be lost (and always with netem's
// rate).
enum class Framing : uint8_t { superpackets, packets };

Framing framing_of(LinkEngine engine, const LinkShape& shape) {
  return max_segments_of(engine, shape) == 1 ? Framing::packets : Framing::superpackets;
}

// What every machine that this is meant for can do; above it the machine is asked.
constexpr uint64_t kUnaskedSuperpackets = 1'000'000'000;
constexpr uint64_t kUnaskedPackets = 250'000'000;

// The bits per second that an engine passes here, as far as one sender can fill it. Measured at
// the first call for each kind, which takes 0.2 s. Threads: any.
double measured_ceiling(LinkEngine engine, Framing framing) {
  static Mutex mutex;
  static std::map<std::pair<LinkEngine, Framing>, double> known;
  MutexLock lock(mutex);
  const auto key = std::make_pair(engine, framing);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  constexpr uint64_t kMoreThanAny = 100'000'000'000;
  LinkSetup setup{.engine = engine, .shape = {.bits_per_second = kMoreThanAny}};
  if (framing == Framing::packets) setup.shape.loss_ratio = 1e-9;
  const auto link = make_unchecked_link(setup);
  double measured = 0;
  in_precedence(Precedence::probe, [&] {
    measured =
        ProbeTraffic(*link).overload(Way::forth, std::chrono::milliseconds(100), kMoreThanAny);
  });
  return known[key] = measured;
}

std::string ceiling_problem(LinkEngine engine, const LinkShape& shape) {
  const Framing framing = framing_of(engine, shape);
  const uint64_t unasked = framing == Framing::packets ? kUnaskedPackets : kUnaskedSuperpackets;
  if (!shape.bits_per_second || *shape.bits_per_second <= unasked) return "";
  try {
    const double ceiling = measured_ceiling(engine, framing);
    // A line that must keep a schedule needs a little in hand.
    if (static_cast<double>(*shape.bits_per_second) <= 0.9 * ceiling) return "";
    return "engine " + std::string(engine_name(engine)) + " passes " + format_bit_rate(ceiling) +
           " on this machine" + (framing == Framing::packets ? ", packet by packet" : "") +
           ": ask for at most 90 % of that, or for no limit";
  } catch (const std::exception& error) {
    return "the engine's ceiling could not be measured: " + std::string(error.what());
  }
}

}  // namespace

std::vector<EngineState> probe_engines() {
  const bool root = ::geteuid() == 0;
  const std::string as_root = root ? "run as root of the machine, not of a container"
                                   : "run as root, or under unshare --user --map-root-user";
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
  return ceiling_problem(engine, shape);
}

}  // namespace memsync
