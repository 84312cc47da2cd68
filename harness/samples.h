// Order statistics of many samples.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace memsync {

// {"count", "p50_s", "p99_s", "max_s"} of nanoseconds; p99 only from 100 samples on, nothing of
// none. The p-quantile is the smallest sample with at least p of all at or below it.
nlohmann::json summarize_latencies(std::vector<uint32_t> samples_ns);
nlohmann::json summarize_latencies(std::vector<uint64_t> samples_ns);

}  // namespace memsync
