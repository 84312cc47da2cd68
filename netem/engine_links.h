// The three kinds of link, and what they share. Made by make_link(); nobody else needs them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lib/os/awake_cpus.h"
#include "netem/link.h"
#include "netem/root_queue.h"
#include "netem/topology.h"

namespace memsync {

// Counts at one of the hosts beyond the line.
class FarHost {
 public:
  // `towards` is the device by which packets leave for it, in the namespace `from`.
  FarHost(const LinkHost& host, const NetworkNamespace& from, const std::string& towards);
  // Packets that came out of a TUN device are counted by the host, as with the source.
  HostCounters read(LinkEngine engine) const;
  RootQueue& towards() noexcept { return towards_; }

 private:
  std::string name_;
  RootQueue out_;
  RootQueue towards_;
  IpPacketCounter packets_;
};

// A topology whose devices are counted; the base of every engine.
class TopologyLink : public Link {
 public:
  const NetworkNamespace& source() const noexcept override { return topology_.source(); }
  const NetworkNamespace& destination() const noexcept override { return topology_.destination(); }
  std::string source_address() const override { return kSourceAddress; }
  std::string destination_address() const override { return kDestinationAddress; }
  LinkEngine engine() const noexcept override { return setup_.engine; }
  const LinkShape& shape() const noexcept override { return setup_.shape; }
  std::vector<LinkHost> hosts() const override { return topology_.hosts(); }
  WireCounters counters() const override;
  std::vector<HostCounters> host_counters() const override;
  Nanoseconds engine_cpu() const override { return {}; }
  void check_alive() override {}

 protected:
  // `prepare_middle`: as in TopologySetup. The engine still has to give the middle's devices their
  // root qdiscs.
  explicit TopologyLink(const LinkSetup& setup,
                        std::function<std::string(const NetworkNamespace&)> prepare_middle = {});
  const LinkSetup& setup() const noexcept { return setup_; }
  const NetworkNamespace& middle() const noexcept { return topology_.middle(); }
  RootQueue& to_source() noexcept { return to_source_; }
  RootQueue& to_destination() noexcept { return to_destination_; }

 private:
  const LinkSetup setup_;
  std::optional<AwakeCpus> awake_;  // a sleeping CPU would be a part of the line
  const Topology topology_;
  RootQueue from_source_;  // of the source's device
  RootQueue to_source_;    // of the middle's
  RootQueue to_destination_;
  const IpPacketCounter source_packets_;
  std::vector<FarHost> far_hosts_;
};

// Packets, superpackets included: more than any window that fits into the sockets' buffers.
inline constexpr uint32_t kAmpleQueue = 100'000;

std::unique_ptr<Link> make_plain_link(const LinkSetup& setup);
std::unique_ptr<Link> make_tun_link(const LinkSetup& setup);
std::unique_ptr<Link> make_tc_link(const LinkSetup& setup);

// make_link() without asking whether the engine can make the shape.
std::unique_ptr<Link> make_unchecked_link(const LinkSetup& setup);

// The options of netem that make one direction of `shape`.
std::string netem_options(const LinkShape& shape);

}  // namespace memsync
