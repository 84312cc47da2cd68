// The three kinds of link, and what they share. Made by make_link(); nobody else needs them.
#pragma once

#include <memory>
#include <string>

#include "netem/link.h"
#include "netem/topology.h"
#include "netem/wire_counter.h"

namespace memsync {

// A topology whose middle has a qdisc on each of its devices; the base of every engine.
class TopologyLink : public Link {
 public:
  const NetworkNamespace& source() const noexcept override { return topology_.source(); }
  const NetworkNamespace& destination() const noexcept override { return topology_.destination(); }
  std::string source_address() const override { return kSourceAddress; }
  std::string destination_address() const override { return kDestinationAddress; }
  LinkEngine engine() const noexcept override { return setup_.engine; }
  const LinkShape& shape() const noexcept override { return setup_.shape; }
  WireCounters counters() const override;
  Nanoseconds engine_cpu() const override { return {}; }
  void check_alive() override {}

 protected:
  // `qdisc`: kind and options of the root qdisc of the middle's two devices.
  TopologyLink(const LinkSetup& setup, const std::string& qdisc);
  const LinkSetup& setup() const noexcept { return setup_; }
  const NetworkNamespace& middle() const noexcept { return topology_.middle(); }
  // Changes or adds (`verb`) both of the middle's root qdiscs.
  void set_qdiscs(const std::string& verb, const std::string& qdisc);

 private:
  struct Counters {
    WireCounter source_out;
    WireCounter destination_out;
    WireCounter source_in;  // what the middle sends to the source
    IpPacketCounter source_packets;
  };
  const LinkSetup setup_;
  const Topology topology_;
  std::unique_ptr<const Counters> counters_;  // made when the qdiscs are there
};

std::unique_ptr<Link> make_plain_link(const LinkSetup& setup);
std::unique_ptr<Link> make_tun_link(const LinkSetup& setup);
std::unique_ptr<Link> make_tc_link(const LinkSetup& setup);

// The options of netem that make one direction of `shape`.
std::string netem_options(const LinkShape& shape);

}  // namespace memsync
