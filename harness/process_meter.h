// What this process and this machine spent between two moments.
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

// Of the machine: pressure stall totals, steal and load. Absent files read as nothing.
struct MachineReading {
  double psi_cpu_s = -1;  // time in which some task waited for a CPU; -1: the kernel has no PSI
  double psi_mem_s = -1;
  double steal_s = 0;
  double load1 = 0;
};
MachineReading read_machine();

// The first line of a file that begins with `key`, without it; "" when there is none.
std::string proc_value(const std::string& path, const std::string& key);

}  // namespace memsync
