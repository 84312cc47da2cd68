// Approaches that can only be described: for tests and the fuzzer of what reads suites and plans
// them, so that neither depends on which approaches this build has. Their options are a subset of
// the real ones'.
#pragma once

#include <array>
#include <stdexcept>
#include <string>

#include "approaches/peer.h"
#include "harness/suite.h"

namespace memsync {

class DescribedStrategy : public SyncStrategy {
 public:
  explicit DescribedStrategy(const StrategyInfo& info) : info_(info) {}
  const StrategyInfo& info() const noexcept override { return info_; }
  std::vector<std::string> unmet_requirements(const Options&) const override { return {}; }
  Capabilities capabilities(const Options& options) const override {
    Capabilities can = info_.can;
    if (info_.name == "userfaultfd" && options.text("writes") == "back") {
      can.source_before = Access::read;
      can.destination_before = Access::read_write;
      can.writes_reach_peer = true;
    }
    return can;
  }
  std::unique_ptr<Side> open_source(SideSetup) const override {
    throw std::logic_error("only described");
  }
  std::unique_ptr<Side> open_destination(SideSetup) const override {
    throw std::logic_error("only described");
  }

 private:
  const StrategyInfo info_;
};

// userfaultfd, tcp_copy, floor and mmap_push, as far as a plan asks about them.
inline StrategyDirectory described_strategies() {
  static constexpr OptionSpec kPullOptions[] = {
      {"prefetch", "window", "", "what is fetched before it is asked for",
       "none|around|window|trend|trace|priority"},
      {"first", "", "", "what priority fetches"},
      {"background", "off", "", "whether all is fetched", "off|on"},
      {"unit", "64KiB", "bytes", "bytes per demand request"},
      {"window", "0B", "bytes", "most that is in flight"},
      {"writes", "stay", "", "what becomes of the destination's writes", "stay|back"},
      kBackendOption,
  };
  constexpr Capabilities kPull{.source_before = Access::read_write,
                               .destination_before = Access::read,
                               .destination_after = Access::read_write,
                               .readable_before_complete = true};
  constexpr Capabilities kCopy{.source_before = Access::read, .destination_before = Access::read};
  constexpr Capabilities kFloor{.source_before = Access::read_write,
                                .destination_before = Access::read,
                                .destination_after = Access::read_write,
                                .writes_reach_peer = true,
                                .readable_before_complete = true,
                                .destinations_max = 16,
                                .shares_memory = true};
  constexpr Capabilities kPush{.source_before = Access::read_write,
                               .destination_before = Access::read,
                               .writes_reach_peer = true,
                               .destinations_max = 4};
  static const std::array<DescribedStrategy, 4> kStrategies = {
      DescribedStrategy({.name = "userfaultfd",
                         .summary = "pull",
                         .reference = "",
                         .can = kPull,
                         .options = kPullOptions}),
      DescribedStrategy({.name = "tcp_copy", .summary = "copy", .reference = "", .can = kCopy}),
      DescribedStrategy(
          {.name = "floor", .summary = "nothing moves", .reference = "", .can = kFloor}),
      DescribedStrategy({.name = "mmap_push", .summary = "push", .reference = "", .can = kPush}),
  };
  StrategyDirectory directory;
  directory.find = [](std::string_view name) -> const SyncStrategy* {
    for (const DescribedStrategy& strategy : kStrategies)
      if (strategy.info().name == name) return &strategy;
    return is_peer(name) ? &peer_strategy() : nullptr;
  };
  for (const DescribedStrategy& strategy : kStrategies)
    directory.names.emplace_back(strategy.info().name);
  return directory;
}

}  // namespace memsync
