#include "harness/samples.h"

#include <algorithm>
#include <cmath>

namespace memsync {

namespace {

template <typename Sample>
nlohmann::json summary_of(std::vector<Sample> samples_ns) {
  nlohmann::json summary = {{"count", samples_ns.size()}};
  if (samples_ns.empty()) return summary;
  std::sort(samples_ns.begin(), samples_ns.end());
  const auto quantile = [&](double share) {
    const auto rank =
        static_cast<size_t>(std::ceil(share * static_cast<double>(samples_ns.size())));
    return static_cast<double>(samples_ns[std::max<size_t>(rank, 1) - 1]) * 1e-9;
  };
  summary["p50_s"] = quantile(0.5);
  if (samples_ns.size() >= 100) summary["p99_s"] = quantile(0.99);
  summary["max_s"] = static_cast<double>(samples_ns.back()) * 1e-9;
  return summary;
}

}  // namespace

nlohmann::json summarize_latencies(std::vector<uint32_t> samples_ns) {
  return summary_of(std::move(samples_ns));
}

nlohmann::json summarize_latencies(std::vector<uint64_t> samples_ns) {
  return summary_of(std::move(samples_ns));
}

}  // namespace memsync
