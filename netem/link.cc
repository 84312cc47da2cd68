#include "netem/link.h"

#include <algorithm>
#include <stdexcept>

#include "netem/engine_links.h"

namespace memsync {

namespace {

constexpr uint64_t kEthernetHeaderBytes = 14;

TopologySetup topology_setup(const LinkSetup& setup,
                             std::function<std::string(const NetworkNamespace&)> prepare_middle) {
  TopologySetup topology;
  topology.prepare_middle = std::move(prepare_middle);
  topology.congestion_control = setup.congestion_control;
  topology.max_segments = max_segments_of(setup.engine, setup.shape);
  topology.dials = setup.dials;
  topology.destinations = setup.destinations;
  topology.has_hub = setup.has_hub;
  // Half of a buffer's memory is what a packet costs the kernel, so twice two BDP.
  const double rate = static_cast<double>(setup.shape.bits_per_second.value_or(10'000'000'000));
  const double bdp = rate / 8 * seconds(setup.shape.rtt + setup.shape.jitter);
  topology.socket_buffer_bytes =
      std::clamp<uint64_t>(static_cast<uint64_t>(4 * bdp), 16 << 20, 1 << 30);
  return topology;
}

// Engine `none`: the middle only forwards.
class PlainLink : public TopologyLink {
 public:
  explicit PlainLink(const LinkSetup& setup) : TopologyLink(setup) {
    to_source().add_pfifo(kAmpleQueue);
    to_destination().add_pfifo(kAmpleQueue);
  }
  void set_cut(bool cut) override {
    to_source().change_pfifo(cut ? 0 : kAmpleQueue);
    to_destination().change_pfifo(cut ? 0 : kAmpleQueue);
  }
};

// Ethernet's bytes are taken off.
uint64_t ip_bytes(const QdiscCount& count, uint64_t packets) {
  return count.bytes - kEthernetHeaderBytes * packets;
}

}  // namespace

FarHost::FarHost(const LinkHost& host, const NetworkNamespace& from, const std::string& towards)
    : name_(host.name),
      out_(host.network, "eth0"),
      towards_(from, towards),
      packets_(host.network) {
  out_.add_pfifo(kAmpleQueue);
}

HostCounters FarHost::read(LinkEngine engine) const {
  const QdiscCount sent = out_.read();
  const QdiscCount received = towards_.read();
  const uint64_t packets = engine == LinkEngine::tun ? packets_.read() : received.packets;
  return {.name = name_,
          .sent_bytes = ip_bytes(sent, sent.packets),
          .received_bytes = ip_bytes(received, packets)};
}

TopologyLink::TopologyLink(const LinkSetup& setup,
                           std::function<std::string(const NetworkNamespace&)> prepare_middle)
    : setup_(setup),
      topology_(topology_setup(setup, std::move(prepare_middle))),
      from_source_(source(), "eth0"),
      to_source_(middle(), "source"),
      to_destination_(middle(), "destination"),
      source_packets_(source()) {
  if (setup_.idle == IdleCpus::awake) awake_.emplace();
  from_source_.add_pfifo(kAmpleQueue);
  const auto hosts = topology_.hosts();
  for (size_t i = 1; i < hosts.size(); ++i) {
    const NetworkNamespace* router = topology_.router();
    far_hosts_.emplace_back(hosts[i], router != nullptr ? *router : middle(),
                            router != nullptr ? hosts[i].name : "destination");
    if (router != nullptr) far_hosts_.back().towards().add_pfifo(kAmpleQueue);
  }
}

std::vector<HostCounters> TopologyLink::host_counters() const {
  const WireCounters own = counters();
  std::vector<HostCounters> all{
      {.name = "source", .sent_bytes = own.sent_bytes, .received_bytes = own.received_bytes}};
  for (const FarHost& host : far_hosts_) all.push_back(host.read(engine()));
  return all;
}

WireCounters TopologyLink::counters() const {
  const QdiscCount sent = from_source_.read();
  const QdiscCount received = to_source_.read();
  // What comes out of a TUN device carries a segment count that only the receiver knows.
  const uint64_t received_packets =
      engine() == LinkEngine::tun ? source_packets_.read() : received.packets;
  return {.sent_bytes = ip_bytes(sent, sent.packets),
          .received_bytes = ip_bytes(received, received_packets),
          .packets = sent.packets + received_packets};
}

std::unique_ptr<Link> make_plain_link(const LinkSetup& setup) {
  return std::make_unique<PlainLink>(setup);
}

std::unique_ptr<Link> make_link(const LinkSetup& setup) {
  if (const std::string problem = shape_problem(setup.engine, setup.shape); !problem.empty())
    throw std::runtime_error("making a link: " + problem);
  return make_unchecked_link(setup);
}

std::unique_ptr<Link> make_unchecked_link(const LinkSetup& setup) {
  switch (setup.engine) {
    case LinkEngine::none:
      return make_plain_link(setup);
    case LinkEngine::tun:
      return make_tun_link(setup);
    case LinkEngine::tc:
      return make_tc_link(setup);
  }
  throw std::invalid_argument("making a link: no such engine");
}

}  // namespace memsync
