#include "netem/link.h"

#include <algorithm>
#include <stdexcept>

#include "netem/engine_links.h"

namespace memsync {

namespace {

constexpr uint64_t kEthernetHeaderBytes = 14;
constexpr const char* kPlainQueue = "pfifo limit 100000";

TopologySetup topology_setup(const LinkSetup& setup) {
  TopologySetup topology;
  topology.congestion_control = setup.congestion_control;
  topology.max_segments = max_segments_of(setup.shape);
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
  explicit PlainLink(const LinkSetup& setup) : TopologyLink(setup, kPlainQueue) {}
  // A queue without room drops everything, unseen by the senders.
  void set_cut(bool cut) override { set_qdiscs("change", cut ? "pfifo limit 0" : kPlainQueue); }
};

}  // namespace

TopologyLink::TopologyLink(const LinkSetup& setup, const std::string& qdisc)
    : setup_(setup), topology_(topology_setup(setup)) {
  set_qdiscs("add", qdisc);
  counters_ = std::make_unique<const Counters>(
      Counters{WireCounter(source(), "eth0"), WireCounter(destination(), "eth0"),
               WireCounter(middle(), "source"), IpPacketCounter(source())});
}

void TopologyLink::set_qdiscs(const std::string& verb, const std::string& qdisc) {
  run_batch("tc",
            "qdisc " + verb + " dev source root " + qdisc + "\n" + "qdisc " + verb +
                " dev destination root " + qdisc + "\n",
            middle());
}

WireCounters TopologyLink::counters() const {
  const QdiscCount sent = counters_->source_out.read();
  const QdiscCount received = counters_->source_in.read();
  // What comes out of a TUN device carries a segment count that only the receiver knows.
  const uint64_t received_packets =
      engine() == LinkEngine::tun ? counters_->source_packets.read() : received.packets;
  return {.sent_bytes = sent.bytes - kEthernetHeaderBytes * sent.packets,
          .received_bytes = received.bytes - kEthernetHeaderBytes * received_packets,
          .packets = sent.packets + received_packets};
}

std::unique_ptr<Link> make_plain_link(const LinkSetup& setup) {
  return std::make_unique<PlainLink>(setup);
}

std::unique_ptr<Link> make_link(const LinkSetup& setup) {
  if (const std::string problem = shape_problem(setup.engine, setup.shape); !problem.empty())
    throw std::runtime_error("making a link: " + problem);
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
