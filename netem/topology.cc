#include "netem/topology.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <unistd.h>
#include <vector>

#include "lib/os/error.h"
#include "netem/packet.h"

namespace memsync {

namespace {

using Sysctls = std::vector<std::pair<std::string, std::string>>;

// All at once: entering a namespace takes a thread each time.
void set_sysctls(const NetworkNamespace& network, const Sysctls& values) {
  network.run([&] {
    for (const auto& [name, value] : values) {
      const std::string path = "/proc/sys/" + name;
      if (name.starts_with("net/ipv6/") && !std::filesystem::exists(path)) continue;
      const auto file = FileDescriptor::open(path, O_WRONLY);
      write_all(file.get(), value.data(), value.size(), "setting " + name + " to " + value);
    }
  });
}

// A name by which another process of ours can open the namespace. (ip(8) takes a path.)
std::string path_of(const NetworkNamespace& network) {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" +
         std::to_string(network.descriptor().get());
}

constexpr unsigned kLineNet = 254;  // between the middle and a router
constexpr unsigned kHubNet = 253;

std::string mac(unsigned net, unsigned end) {
  char text[18];
  std::snprintf(text, sizeof text, "02:00:00:00:%02x:%02x", net & 0xffu, end & 0xffu);
  return text;
}

std::string address(unsigned net, unsigned end) {
  return "10.77." + std::to_string(net) + "." + std::to_string(end);
}

// A cable whose near end is called `name`, and whose far end `peer` in the namespace at `path`.
std::string cable(const std::string& name, unsigned net, const std::string& peer,
                  const std::string& path) {
  return "link add name " + name + " address " + mac(net, 1) + " type veth peer name " + peer +
         " address " + mac(net, 2) + " netns " + path + "\n" +       //
         "addr add " + address(net, 1) + "/24 dev " + name + "\n" +  //
         "link set " + name + " up\n" +                              //
         "neigh add " + address(net, 2) + " lladdr " + mac(net, 2) + " dev " + name +
         " nud permanent\n";
}

// The far end of a cable: its address, its one neighbour, and what is reached by it.
std::string far_end(const std::string& name, unsigned net, const std::string& reached,
                    const std::string& device_options, const std::string& route_options) {
  const std::string gateway = address(net, 1);
  return "link set " + name + " up" + device_options + "\n" +        //
         "addr add " + address(net, 2) + "/24 dev " + name + "\n" +  //
         "neigh add " + gateway + " lladdr " + mac(net, 1) + " dev " + name + " nud permanent\n" +
         "route add " + reached + " via " + gateway + " dev " + name + route_options + "\n";
}

std::string host_commands(unsigned net, const std::string& reached, const TopologySetup& setup) {
  return far_end(
      "eth0", net, reached,
      setup.max_segments == 0 ? "" : " gso_max_segs " + std::to_string(setup.max_segments),
      " congctl " + setup.congestion_control);
}

}  // namespace

void run_batch(const std::string& tool, const std::string& commands,
               const NetworkNamespace& network) {
  const auto result = run_tool({tool, "-batch", "-"}, commands, &network);
  if (result.ok()) return;
  std::string words = result.output;
  std::replace(words.begin(), words.end(), '\n', ' ');
  throw std::runtime_error(tool + " -batch: " + result.end.describe() + ": " + words);
}

unsigned segments_at(uint64_t bits_per_second) noexcept {
  constexpr double kLongest_s = 0.0002;
  const double bytes = static_cast<double>(bits_per_second) / 8 * kLongest_s;
  return static_cast<unsigned>(std::clamp(bytes / double{kMtuBytes}, 1.0, 44.0));
}

unsigned max_segments_of(LinkEngine engine, const LinkShape& shape) noexcept {
  if (shape.loss_ratio > 0) return 1;
  if (!shape.bits_per_second) return 0;
  return engine == LinkEngine::tc ? 1 : segments_at(*shape.bits_per_second);
}

void Topology::make_far_hosts(const TopologySetup& setup) {
  if (setup.destinations < 1 || setup.destinations > kDestinationsMax)
    throw std::invalid_argument("a link has 1 to " + std::to_string(kDestinationsMax) +
                                " destinations, not " + std::to_string(setup.destinations));
  for (unsigned i = 0; i < setup.destinations; ++i)
    far_hosts_.push_back({"destination" + std::to_string(i), i + 1, NetworkNamespace::create()});
  if (setup.has_hub) far_hosts_.push_back({"hub", kHubNet, NetworkNamespace::create()});
  if (far_hosts_.size() > 1) router_ = NetworkNamespace::create();
}

void Topology::set_all_sysctls(const TopologySetup& setup) const {
  const Sysctls quiet = {{"net/ipv6/conf/all/disable_ipv6", "1"},
                         {"net/ipv6/conf/default/disable_ipv6", "1"}};
  Sysctls host = quiet;
  const std::string most = std::to_string(setup.socket_buffer_bytes);
  host.emplace_back("net/ipv4/tcp_rmem", "4096 131072 " + most);
  host.emplace_back("net/ipv4/tcp_wmem", "4096 16384 " + most);
  Sysctls forwards = quiet;
  forwards.emplace_back("net/ipv4/ip_forward", "1");
  // A packet that a TUN device hands over has come in by another device than it would go out by.
  forwards.emplace_back("net/ipv4/conf/all/rp_filter", "0");
  forwards.emplace_back("net/ipv4/conf/default/rp_filter", "0");
  set_sysctls(source_, host);
  for (const FarHost& far : far_hosts_) set_sysctls(far.network, host);
  set_sysctls(middle_, forwards);
  if (router_) set_sysctls(*router_, forwards);
}

std::string Topology::router_commands() const {
  std::string commands = far_end("line", kLineNet, "10.77.0.0/24", "", "");
  for (const FarHost& far : far_hosts_)
    commands += cable(far.name, far.net, "eth0", path_of(far.network));
  return commands;
}

Topology::Topology(const TopologySetup& setup)
    : source_(NetworkNamespace::create()), middle_(NetworkNamespace::create()) {
  make_far_hosts(setup);
  set_all_sysctls(setup);
  std::string commands = cable("source", 0, "eth0", path_of(source_));
  if (router_)
    commands += cable("destination", kLineNet, "line", path_of(*router_)) +
                "route add 10.77.0.0/16 via " + address(kLineNet, 2) + " dev destination\n";
  else
    commands += cable("destination", far_hosts_[0].net, "eth0", path_of(far_hosts_[0].network));
  if (setup.prepare_middle) commands += setup.prepare_middle(middle_);
  run_batch("ip", commands, middle_);
  if (router_) run_batch("ip", router_commands(), *router_);
  const std::string everybody = "10.77.0.0/16";
  run_batch("ip", host_commands(0, router_ ? everybody : "10.77.1.0/24", setup), source_);
  for (const FarHost& far : far_hosts_)
    run_batch("ip", host_commands(far.net, router_ ? everybody : "10.77.0.0/24", setup),
              far.network);
  if (setup.dials == Dials::destination) forbid_source_to_dial(middle_);
}

std::vector<LinkHost> Topology::hosts() const {
  std::vector<LinkHost> all{{"source", kSourceAddress, source_}};
  for (const FarHost& far : far_hosts_) all.push_back({far.name, address(far.net, 2), far.network});
  return all;
}

}  // namespace memsync
