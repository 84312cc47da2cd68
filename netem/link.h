// A link between two hosts that live in network namespaces, shaped in a namespace between them.
//
//   netns source            netns middle                      netns destination
//   10.77.0.2 ── veth ── 10.77.0.1 ─ engine ─ 10.77.1.1 ── veth ── 10.77.1.2
//
// Engine `tc`: kernel netem on the middle's two veths. Engine `tun`: the middle routes what comes
// in at one side into a TUN device whose other end is a process that delays, paces and drops, and
// hands it to the other side's TUN device. Engine `none`: the middle only forwards.
//
// Several destinations (and a hub) share a LAN of their own behind the line, which has no shape:
//
//   ... engine ─ middle ── veth ── router ─┬─ veth ── netns destination0   10.77.1.2
//                                          ├─ veth ── netns destination1   10.77.2.2 ...
//                                          └─ veth ── netns hub            10.77.253.2
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/os/clock.h"
#include "lib/os/network_namespace.h"

namespace memsync {

enum class LinkEngine : uint8_t { none, tun, tc };
std::string_view engine_name(LinkEngine engine) noexcept;

// What is asked of a link, the same in both directions; the delay is halved between them.
struct LinkShape {
  std::optional<uint64_t> bits_per_second{};  // empty: unlimited
  Nanoseconds rtt{};
  double loss_ratio = 0;  // per MTU-sized packet and direction
  Nanoseconds jitter{};   // each way uniform in [delay, delay + jitter], never reordering
  std::optional<uint64_t> queue_bytes{};  // empty: max(1.5 BDP, 256 KiB)
  friend bool operator==(const LinkShape&, const LinkShape&) = default;
};
// The queue's size in bytes, `auto` resolved. An unlimited rate counts as 10 Gbit/s.
uint64_t queue_bytes_of(const LinkShape& shape) noexcept;
// "1 Gbit/s, 25 ms RTT, loss 0.1 %" for people.
std::string describe(const LinkShape& shape);

// Whether an engine can run here and, if not, why and what to do: one sentence each.
struct EngineState {
  LinkEngine engine = LinkEngine::none;
  bool available = false;
  std::string reason;     // "/dev/net/tun: Permission denied"
  std::string next_step;  // "run as root"
};
// Probes without leaving a trace. In order of preference: tc, tun, none.
std::vector<EngineState> probe_engines();
// Why this engine can't make this shape; "" when it can. (`none` makes only RTT 0 without limit;
// no engine exceeds its own measured ceiling.)
std::string shape_problem(LinkEngine engine, const LinkShape& shape);

// Counted on the hosts' own devices as IP packets of at most one MTU, headers included, whatever
// the offloads made of them: `sent` by the source, `received` by it.
struct WireCounters {
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  uint64_t packets = 0;  // both directions
};

// What one host has moved, counted as above.
struct HostCounters {
  std::string name;  // "source", "destination0" ..., "hub"
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
};

// A host of a link. `network` lives as long as the link.
struct LinkHost {
  std::string name;
  std::string address;
  const NetworkNamespace& network;
};

// Who may open a connection across the link.
enum class Dials : uint8_t {
  any,
  // As behind a NAT or a firewall: what the source begins is dropped, datagrams too, and it learns
  // nothing of that; what it sends in answer to the other side passes.
  destination,
};
std::string_view dials_name(Dials dials) noexcept;  // as in its declaration
// Why this machine can't forbid the source to dial, with the next step; "" when it can, and for
// `any`.
std::string dials_problem(Dials dials);

// Most hosts that are destinations.
inline constexpr size_t kDestinationsMax = 250;

// A link that is up. Destroying it takes everything away; if the process is killed instead, the
// kernel does (the namespaces have no names, the engine dies with its parent).
// Threads: one caller. Create and destroy from the main thread (the engine process is tied to it).
class Link {
 public:
  virtual ~Link() = default;
  virtual const NetworkNamespace& source() const noexcept = 0;
  virtual const NetworkNamespace& destination() const noexcept = 0;  // the first of them
  virtual std::string source_address() const = 0;                    // "10.77.0.2"
  virtual std::string destination_address() const = 0;               // "10.77.1.2"
  // The source, the destinations in order, and the hub if there is one.
  virtual std::vector<LinkHost> hosts() const = 0;
  virtual LinkEngine engine() const noexcept = 0;
  virtual const LinkShape& shape() const noexcept = 0;
  virtual WireCounters counters() const = 0;
  // Of each host, in the order of hosts().
  virtual std::vector<HostCounters> host_counters() const = 0;
  // CPU time of the engine's process so far; zero where the kernel does the work.
  virtual Nanoseconds engine_cpu() const = 0;
  // Cuts the link (every packet dropped, both ways) or mends it.
  virtual void set_cut(bool cut) = 0;
  // Throws when the engine's process has ended.
  virtual void check_alive() = 0;
};

// What CPUs without work do while a link exists. Waking one that sleeps takes 30 to 100 us on many
// machines: part of what is measured only where that is asked for.
enum class IdleCpus : uint8_t { awake, sleep };

struct LinkSetup {
  LinkEngine engine = LinkEngine::none;
  LinkShape shape{};
  std::string congestion_control = "cubic";  // per route, so that peers get it too
  std::optional<unsigned> cpu{};             // of the engine's process
  IdleCpus idle = IdleCpus::awake;
  std::string tun_program{};  // memsync-link; "": beside this program
  uint64_t seed = 0;          // of loss and jitter with engine tun; 0: another one each time
  Dials dials = Dials::any;
  size_t destinations = 1;  // at most kDestinationsMax
  bool has_hub = false;     // beside the destinations
};
// Throws std::system_error or std::runtime_error naming the step that failed.
std::unique_ptr<Link> make_link(const LinkSetup& setup);

}  // namespace memsync
