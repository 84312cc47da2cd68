// How long a repetition takes at least, and how much memory.
//
// Fixed cost (processes, namespaces, checking) + 3 RTT for connecting + a planted delay + what must
// cross the link:
//   read      whoever copies first: the whole region, then the accesses; whoever reads on demand:
//   the
//             touched bytes, and one RTT per request when nothing is fetched ahead
//   update    the whole region once, then per round and receiver the dirty chunks and 1 RTT, plus
//   the
//             writer's time
//   handover  the writer's time before it and as much again after it, the whole region, 2 RTT
// A link without a rate counts as 1 GB/s, which a plain copy reaches on a small machine. Loss,
// slow start and the approaches' own cost are left out: an estimate above the timeout is refused,
// so it must not be too high.
#include <algorithm>
#include <cmath>
#include <string>

#include "approaches/peer.h"
#include "harness/plan.h"

namespace memsync {

namespace {

constexpr double kUnlimitedBps = 1e9;  // bytes per second
constexpr uint64_t kAgentBytes = 32 << 20;

double transfer_seconds(double bytes, const LinkShape& link) {
  const double rate =
      link.bits_per_second ? static_cast<double>(*link.bits_per_second) / 8 : kUnlimitedBps;
  return bytes / rate;
}

const OptionSpec* find_option(const SyncStrategy& strategy, std::string_view name) {
  for (const OptionSpec& option : strategy.info().options)
    if (option.name == name) return &option;
  return nullptr;
}

// Bytes that one demand request brings, if nothing else brings any; 0 when something does.
uint64_t demand_only_unit(const SyncStrategy& strategy, const Options& options,
                          const Workload& workload) {
  if (!find_option(strategy, "prefetch") || options.text("prefetch") != "none") return 0;
  const OptionSpec* unit = find_option(strategy, "unit");
  const uint64_t bytes = unit && unit->unit == "bytes" ? options.bytes("unit") : 0;
  return std::max(bytes, workload.chunk_bytes);
}

// Distinct units of `unit` bytes that `count` accesses touch: all in a row, or drawn at random
// (U (1 - (1 - 1/U)^n) of U); for a skewed order and a trace, at least one.
double distinct_units(const Workload& workload, double count, uint64_t unit) {
  const double units =
      std::ceil(static_cast<double>(workload.region_bytes) / static_cast<double>(unit));
  const auto touch = static_cast<double>(workload.touch_bytes);
  switch (workload.access.order) {
    case AccessOrder::sequential:
      return std::min(units, std::ceil(count * touch / static_cast<double>(unit)));
    case AccessOrder::random:
      return -units * std::expm1(count * std::log1p(-1 / std::max(units, 1.000001)));
    case AccessOrder::stride: {
      const double step =
          static_cast<double>(workload.access.stride_bytes) / static_cast<double>(unit);
      return std::min(units, std::max(1.0, std::floor(count * std::min(1.0, step))));
    }
    case AccessOrder::zipf:
    case AccessOrder::trace:
      return 1;
  }
  return 1;
}

double read_seconds(const SyncStrategy& strategy, const Options& options, const Workload& workload,
                    const LinkShape& link) {
  const auto region = static_cast<double>(workload.region_bytes);
  const double duration = workload.for_duration ? seconds(*workload.for_duration) : 0;
  const auto count = static_cast<double>(workload.access_count().value_or(0));
  const Capabilities& can = strategy.info().can;
  if (can.shares_memory) return duration;
  if (!can.readable_before_complete) return duration + transfer_seconds(region, link);
  const uint64_t unit = demand_only_unit(strategy, options, workload);
  if (workload.for_duration) return duration;
  if (unit == 0)
    return transfer_seconds(distinct_units(workload, count, workload.touch_bytes) *
                                static_cast<double>(workload.touch_bytes),
                            link);
  const double requests = distinct_units(workload, count, unit);
  return requests * seconds(link.rtt) / static_cast<double>(workload.threads) +
         transfer_seconds(std::min(region, requests * static_cast<double>(unit)), link);
}

double update_seconds(const Workload& workload, const LinkShape& link) {
  const auto region = static_cast<double>(workload.region_bytes);
  const auto receivers = static_cast<double>(workload.receivers);
  double changed = workload.dirty_ratio.value_or(0) * region;
  if (workload.writer)
    changed =
        std::min(static_cast<double>(workload.writer->span_bytes),
                 static_cast<double>(workload.writer->bytes_per_second) * seconds(workload.after));
  const double round =
      seconds(workload.after) + seconds(link.rtt) + receivers * transfer_seconds(changed, link);
  return receivers * transfer_seconds(region, link) + static_cast<double>(workload.rounds) * round;
}

}  // namespace

bool uses_link(const SyncStrategy& strategy, const Options& options) {
  return !strategy.info().can.shares_memory && options.backend() == "peer";
}

double estimate_seconds(const SyncStrategy& strategy, const Options& options,
                        const Workload& workload, const LinkShape& link) {
  LinkShape crossed = link;
  if (!uses_link(strategy, options)) crossed = {};  // nothing crosses
  const double fixed =
      kRepetitionFixedSeconds + 3 * seconds(crossed.rtt) + seconds(options.duration(kPlantedDelay));
  switch (workload.does) {
    case WorkloadKind::read:
      return fixed + read_seconds(strategy, options, workload, crossed);
    case WorkloadKind::update:
      return fixed + update_seconds(workload, crossed);
    case WorkloadKind::handover:
      return fixed + 2 * seconds(workload.after) + 2 * seconds(crossed.rtt) +
             transfer_seconds(static_cast<double>(workload.region_bytes), crossed);
  }
  return fixed;
}

namespace {

// What the destination holds of content that its source has not: what is touched, by the largest
// unit that an approach may bring for it, or all.
uint64_t computed_bytes(const SyncStrategy& strategy, const Workload& workload) {
  constexpr uint64_t kUnitMax = 1 << 20;
  constexpr uint64_t kAhead = 64 << 20;
  const uint64_t unit = std::max(workload.touch_bytes, kUnitMax);
  const uint64_t count = workload.access_count().value_or(workload.region_bytes);
  if (!strategy.info().can.readable_before_complete || count > workload.region_bytes / unit)
    return workload.region_bytes;
  return std::min(workload.region_bytes, count * unit + kAhead);
}

}  // namespace

uint64_t estimate_memory(const SyncStrategy& strategy, const Options& options,
                         const Workload& workload) {
  const uint64_t hosts = 1 + workload.receivers;
  const uint64_t local = options.backend() == "local" ? 1 : 0;  // a copy at the destination
  if (workload.is_computed)
    return hosts * kAgentBytes + computed_bytes(strategy, workload) + local * workload.region_bytes;
  const uint64_t regions = strategy.info().can.shares_memory ? 1 : hosts;
  // A peer is given a file of the bytes at each host, beside what it makes of them itself.
  const bool is_foreign = &strategy == &peer_strategy();
  const uint64_t checked = workload.does == WorkloadKind::read && !is_foreign ? 0 : 1;
  // Regions are at most 2^60 B and hosts at most 1001, so the product needs its bound.
  const uint64_t copies = regions + checked + local;
  if (workload.region_bytes > (uint64_t{1} << 62) / copies) return uint64_t{1} << 62;
  return workload.region_bytes * copies + hosts * kAgentBytes;
}

}  // namespace memsync
