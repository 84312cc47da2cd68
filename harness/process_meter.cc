#include "harness/process_meter.h"

#include <cstdlib>
#include <fstream>
#include <sys/resource.h>

namespace memsync {

namespace {

double as_seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

std::string proc_value(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return line.substr(key.size());
  return "";
}

ProcessMeter::Usage ProcessMeter::usage_now() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return {as_seconds(usage.ru_utime) + as_seconds(usage.ru_stime), usage.ru_minflt, usage.ru_majflt,
          usage.ru_nvcsw + usage.ru_nivcsw};
}

void ProcessMeter::start() {
  start_ = usage_now();
}

nlohmann::json ProcessMeter::reading() const {
  const Usage now = usage_now();
  const uint64_t peak_kib =
      std::strtoull(proc_value("/proc/self/status", "VmHWM:").c_str(), nullptr, 10);
  return {{"cpu_s", now.cpu_s - start_.cpu_s},
          {"minor_faults", now.minor_faults - start_.minor_faults},
          {"major_faults", now.major_faults - start_.major_faults},
          {"ctx_switches", now.switches - start_.switches},
          {"peak_rss_B", peak_kib * 1024}};
}

}  // namespace memsync
