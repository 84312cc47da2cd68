#include "harness/noise.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/process_meter.h"

namespace memsync {

namespace {

constexpr double kStatUnit = 0.01;  // seconds: USER_HZ is 100 everywhere

// "some avg10=.. total=<us>" of /proc/pressure/<what>.
double pressure_total_s(const std::string& what) {
  const std::string line = proc_value("/proc/pressure/" + what, "some ");
  const size_t at = line.find("total=");
  return at == std::string::npos ? -1 : std::strtod(line.c_str() + at + 6, nullptr) * 1e-6;
}

double cpu_of(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

// The totals of /proc/stat (proc(5)): "cpu  user nice system idle iowait irq softirq steal ...",
// then a line per CPU.
void read_cpu_totals(MachineReading& reading) {
  std::ifstream file("/proc/stat");
  std::string line;
  if (!std::getline(file, line) || !line.starts_with("cpu ")) return;
  std::istringstream fields(line.substr(4));
  std::array<double, 8> total{};
  for (double& field : total) {
    fields >> field;
    field /= static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  reading.idle_s = total[3] + total[4];
  // Stays 0 for ever where interrupts are billed to what they interrupt; then the softirq column is
  // a share of time that processes, ours too, are billed for already. (kernel/sched/cputime.c)
  const double irq = total[5];
  reading.interrupts_s = irq > 0 ? irq + total[6] : 0;
  reading.steal_s = total[7];
  unsigned cpus = 0;
  while (std::getline(file, line) && line.starts_with("cpu")) ++cpus;
  reading.cpus = std::max(cpus, 1U);
}

}  // namespace

MachineReading read_machine() {
  MachineReading reading;
  reading.psi_cpu_s = pressure_total_s("cpu");
  reading.psi_mem_s = pressure_total_s("memory");
  double load = 0;
  if (::getloadavg(&load, 1) == 1) reading.load1 = load;
  reading.ours_s = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
  reading.at = Clock::now();
  read_cpu_totals(reading);
  return reading;
}

std::optional<OthersShare> others_share(const MachineReading& before, const MachineReading& now) {
  const double capacity = seconds(now.at - before.at) * now.cpus;
  if (capacity < 5 * kStatUnit) return std::nullopt;
  const double known = (now.idle_s - before.idle_s) + (now.interrupts_s - before.interrupts_s) +
                       (now.steal_s - before.steal_s) + (now.ours_s - before.ours_s);
  return OthersShare{std::clamp(1 - known / capacity, 0.0, 1.0), kStatUnit / capacity};
}

void set_noise(const MachineReading& before, const MachineReading& now, bool was_quiet, Hosts hosts,
               Row& row) {
  const double elapsed = seconds(now.at - before.at);
  const double steal = now.steal_s - before.steal_s;
  if (before.psi_cpu_s >= 0) row.set("psi_cpu_ratio", (now.psi_cpu_s - before.psi_cpu_s) / elapsed);
  if (before.psi_mem_s >= 0) row.set("psi_mem_ratio", (now.psi_mem_s - before.psi_mem_s) / elapsed);
  row.set("steal_s", steal);
  row.set("load1", before.load1);
  const auto others = hosts == Hosts::here ? others_share(before, now) : std::nullopt;
  if (others) row.set("other_cpu_ratio", others->ratio);
  row.set("noisy", steal > kStealMax * elapsed || (others && others->is_noise()) || !was_quiet);
}

}  // namespace memsync
