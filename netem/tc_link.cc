// Engine `tc`: kernel netem at the root of the middle's two devices.
#include <cmath>

#include "netem/engine_links.h"
#include "netem/packet.h"

namespace memsync {

namespace {

class TcLink : public TopologyLink {
 public:
  explicit TcLink(const LinkSetup& setup) : TopologyLink(setup) { set_netem("add", setup.shape); }

  // What is already in the delay line still arrives: up to half a round trip of it.
  void set_cut(bool cut) override {
    LinkShape shape = setup().shape;
    if (cut) shape.loss_ratio = 1;
    set_netem("change", shape);
  }

 private:
  void set_netem(const std::string& verb, const LinkShape& shape) {
    const std::string options = netem_options(shape) + "\n";
    run_batch("tc",
              "qdisc " + verb + " dev source root " + options + "qdisc " + verb +
                  " dev destination root " + options,
              middle());
  }
};

// With its decimals, in the unit that tc(8) reads without rounding.
std::string microseconds(double nanoseconds) {
  return std::to_string(nanoseconds / 1000) + "us";
}

}  // namespace

std::string netem_options(const LinkShape& shape) {
  const double rate = static_cast<double>(shape.bits_per_second.value_or(25'000'000'000));
  const double delay_ns = static_cast<double>(shape.rtt.count()) / 2;
  const double jitter_ns = static_cast<double>(shape.jitter.count());
  // netem counts packets, and those that are being delayed too. (tc-netem(8), "limit")
  const double held =
      static_cast<double>(queue_bytes_of(shape)) + rate / 8 * (delay_ns + jitter_ns) / 1e9;
  const auto limit = static_cast<uint64_t>(std::ceil(held / double{kMtuBytes})) + 1;
  std::string options = "netem limit " + std::to_string(limit);
  // netem spreads jitter to both sides of the delay: the middle of ours is half of it later.
  options += " delay " + microseconds(delay_ns + jitter_ns / 2);
  if (jitter_ns > 0) options += " " + microseconds(jitter_ns / 2);
  if (shape.loss_ratio > 0) options += " loss " + std::to_string(shape.loss_ratio * 100) + "%";
  // With a rate, a packet is never scheduled before the one ahead of it, whatever the jitter.
  // The negative overhead takes the Ethernet header off what is paced.
  if (shape.bits_per_second)
    options += " rate " + std::to_string(*shape.bits_per_second) + "bit -14";
  if (!shape.bits_per_second && jitter_ns > 0) options += " rate 100gbit";
  return options;
}

std::unique_ptr<Link> make_tc_link(const LinkSetup& setup) {
  return std::make_unique<TcLink>(setup);
}

}  // namespace memsync
