// The hosts and the middle between them: namespaces, veth pairs, addresses, routes, sysctls.
//
//   source: eth0 10.77.0.2 ── veth ── 10.77.0.1 `source` middle `destination` 10.77.1.1 ── veth ──
//   10.77.1.2 eth0 :destination
//
// With several destinations, or a hub, a router takes the destination's place (link.h):
//
//   middle `destination` 10.77.254.1 ── veth ── 10.77.254.2 `line` router, and to each host a veth
//   whose end in the router bears the host's name and the address 10.77.N.1
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/os/network_namespace.h"
#include "lib/os/process.h"
#include "netem/link.h"

namespace memsync {

inline constexpr const char* kSourceAddress = "10.77.0.2";
inline constexpr const char* kDestinationAddress = "10.77.1.2";

struct TopologySetup {
  std::string congestion_control = "cubic";
  uint64_t socket_buffer_bytes = 16 << 20;  // maximum of tcp_rmem and tcp_wmem in the hosts
  unsigned max_segments = 0;  // of a superpacket; 1: none; 0: the kernel's own maximum
  Dials dials = Dials::any;
  size_t destinations = 1;
  bool has_hub = false;
  // Makes an engine's own devices in the middle; returns further commands for ip(8) there.
  std::function<std::string(const NetworkNamespace& middle)> prepare_middle{};
};

// Everything that does not depend on the engine. What the devices have as their
// root qdisc is the affair of others.
// Neighbours are permanent and IPv6 is off, so that no packet but the hosts' own is counted.
// Threads: one caller.
class Topology {
 public:
  explicit Topology(const TopologySetup& setup);

  const NetworkNamespace& source() const noexcept { return source_; }
  const NetworkNamespace& middle() const noexcept { return middle_; }
  const NetworkNamespace& destination() const noexcept { return far_hosts_.front().network; }
  // Between the middle and the hosts beyond it; nullptr: there is one, and it is the neighbour.
  const NetworkNamespace* router() const noexcept { return router_ ? &*router_ : nullptr; }
  std::vector<LinkHost> hosts() const;  // the source first

 private:
  struct FarHost {
    std::string name;
    unsigned net;  // its addresses are 10.77.net.*
    NetworkNamespace network;
  };

  void make_far_hosts(const TopologySetup& setup);
  void set_all_sysctls(const TopologySetup& setup) const;
  std::string router_commands() const;

  NetworkNamespace source_;
  NetworkNamespace middle_;
  std::optional<NetworkNamespace> router_;
  std::vector<FarHost> far_hosts_;
};

// From here on what `middle`'s neighbour `source` begins is dropped.
// Throws std::runtime_error with nft(8)'s own words.
void forbid_source_to_dial(const NetworkNamespace& middle);

// Runs `ip -batch -` or `tc -batch -` on `commands`, one a line, inside `network`.
// Throws std::runtime_error with the tool's own words.
void run_batch(const std::string& tool, const std::string& commands,
               const NetworkNamespace& network);

// How many segments of an MTU fit into 0.2 ms of a rate, 1 to 44.
unsigned segments_at(uint64_t bits_per_second) noexcept;

// How many segments a superpacket may have. `tun`: handing it over as one moves no segment by more
// than 0.2 ms. `tc`: netem's limit counts packets and its overhead is per packet, so 1. Where
// packets are lost, 1: they are lost one by one. 0: no limit of ours.
unsigned max_segments_of(LinkEngine engine, const LinkShape& shape) noexcept;

}  // namespace memsync
