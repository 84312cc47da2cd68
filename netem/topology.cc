#include "netem/topology.h"

#include <algorithm>
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

std::string middle_commands(const NetworkNamespace& source, const NetworkNamespace& destination) {
  const auto pair = [](const std::string& name, const std::string& net, const std::string& path) {
    return "link add name " + name + " address 02:00:00:00:0" + net +
           ":01 type veth peer name eth0 " + "address 02:00:00:00:0" + net + ":02 netns " + path +
           "\n" + "addr add 10.77." + net + ".1/24 dev " + name + "\n" + "link set " + name +
           " up\n" + "neigh add 10.77." + net + ".2 lladdr 02:00:00:00:0" + net + ":02 dev " +
           name + " nud permanent\n";
  };
  return pair("source", "0", path_of(source)) + pair("destination", "1", path_of(destination));
}

std::string host_commands(const std::string& net, const std::string& other_net,
                          const TopologySetup& setup) {
  const std::string segments =
      setup.max_segments == 0 ? "" : " gso_max_segs " + std::to_string(setup.max_segments);
  const std::string gateway = "10.77." + net + ".1";
  return "link set eth0 up" + segments + "\n" + "addr add 10.77." + net + ".2/24 dev eth0\n" +
         "neigh add " + gateway + " lladdr 02:00:00:00:0" + net + ":01 dev eth0 nud permanent\n" +
         "route add 10.77." + other_net + ".0/24 via " + gateway + " dev eth0 congctl " +
         setup.congestion_control + "\n";
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

Topology::Topology(const TopologySetup& setup)
    : source_(NetworkNamespace::create()),
      middle_(NetworkNamespace::create()),
      destination_(NetworkNamespace::create()) {
  const Sysctls quiet = {{"net/ipv6/conf/all/disable_ipv6", "1"},
                         {"net/ipv6/conf/default/disable_ipv6", "1"}};
  Sysctls host = quiet;
  const std::string most = std::to_string(setup.socket_buffer_bytes);
  host.emplace_back("net/ipv4/tcp_rmem", "4096 131072 " + most);
  host.emplace_back("net/ipv4/tcp_wmem", "4096 16384 " + most);
  Sysctls router = quiet;
  router.emplace_back("net/ipv4/ip_forward", "1");
  // A packet that a TUN device hands over has come in by another device than it would go out by.
  router.emplace_back("net/ipv4/conf/all/rp_filter", "0");
  router.emplace_back("net/ipv4/conf/default/rp_filter", "0");
  set_sysctls(source_, host);
  set_sysctls(destination_, host);
  set_sysctls(middle_, router);
  std::string commands = middle_commands(source_, destination_);
  if (setup.prepare_middle) commands += setup.prepare_middle(middle_);
  run_batch("ip", commands, middle_);
  run_batch("ip", host_commands("0", "1", setup), source_);
  run_batch("ip", host_commands("1", "0", setup), destination_);
}

}  // namespace memsync
