// What this process spent between two moments.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace memsync {

// Of this process: CPU, faults, switches since the last start(); peak memory since it began.
class ProcessMeter {
 public:
  void start();
  // {"cpu_s", "minor_faults", "major_faults", "ctx_switches", "peak_rss_B"}
  nlohmann::json reading() const;

 private:
  struct Usage {
    double cpu_s = 0;
    int64_t minor_faults = 0, major_faults = 0, switches = 0;
  };
  static Usage usage_now();
  Usage start_;
};

// The first line of a file that begins with `key`, without it; "" when there is none.
std::string proc_value(const std::string& path, const std::string& key);

}  // namespace memsync
