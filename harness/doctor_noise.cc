#include "harness/doctor_noise.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "harness/doctor_check.h"
#include "harness/noise.h"
#include "harness/process_meter.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

using Json = nlohmann::json;

constexpr Nanoseconds kWatched = std::chrono::milliseconds(500);
constexpr size_t kNamed = 5;          // processes that are told by name
constexpr double kNamedAbove = 0.02;  // of a CPU
constexpr double kMemoryStallMax = 0.01;
constexpr double kStealSinceBootMax = 0.01;
constexpr double kSwapMaxBytes = 64 << 20;

struct ProcessCpu {
  std::string name;  // "cc1plus (4711)"
  double cpu_s = 0;
};

// What the process has spent, all its threads together; nothing when it has just ended.
ProcessCpu read_process(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t name_start = text.find('('), name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  // utime and stime are the 12th and 13th field after the name (proc(5)).
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 0; field < 11; ++field) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  const std::string name = text.substr(name_start + 1, name_end - name_start - 1);
  return {name + " (" + pid + ")", (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK))};
}

std::map<std::string, ProcessCpu> other_processes() {
  std::map<std::string, ProcessCpu> found;
  const std::string ours = std::to_string(::getpid());
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string pid = entry.path().filename().string();
    if (std::isdigit(static_cast<unsigned char>(pid[0])) == 0 || pid == ours) continue;
    found.emplace(pid, read_process(pid));
  }
  return found;
}

// The machine before and after being watched.
struct Watch {
  MachineReading before, now;
  std::vector<ProcessCpu> busiest;  // what they spent meanwhile, most first

  double elapsed_s() const { return seconds(now.at - before.at); }
};

Watch watch_machine() {
  Watch watch;
  const auto before = other_processes();
  watch.before = read_machine();
  sleep_until_deadline(watch.before.at + kWatched);
  watch.now = read_machine();
  for (const auto& [pid, process] : other_processes()) {
    const auto known = before.find(pid);
    const double spent = process.cpu_s - (known == before.end() ? 0 : known->second.cpu_s);
    if (spent >= kNamedAbove * watch.elapsed_s()) watch.busiest.push_back({process.name, spent});
  }
  std::ranges::sort(watch.busiest, std::ranges::greater{}, &ProcessCpu::cpu_s);
  watch.busiest.resize(std::min(watch.busiest.size(), kNamed));
  return watch;
}

Json examine_others(const Watch& watch) {
  const OthersShare others = others_share(watch.before, watch.now).value_or(OthersShare{});
  const std::string detail =
      fmt::format("others use {:.0f} % of {} CPUs", 100 * others.ratio, watch.now.cpus);
  std::string names;
  for (const ProcessCpu& process : watch.busiest)
    names += fmt::format("{}{} {:.0f} % of one", names.empty() ? ": " : ", ", process.name,
                         100 * process.cpu_s / watch.elapsed_s());
  return check_row_if(!others.is_noise(), "other processes", detail + names,
                      names.empty() ? "no single one stands out: look for short-lived ones, or "
                                      "outside of this container"
                                    : "end them or let them end; a campaign waits a little before "
                                      "each repetition, then marks its row noisy");
}

Json examine_pressure(const Watch& watch) {
  if (watch.before.psi_cpu_s < 0)
    return check_row("pressure", "limited", "this kernel doesn't tell what tasks wait for",
                     "boot with psi=1, or a kernel with CONFIG_PSI");
  const double cpu = (watch.now.psi_cpu_s - watch.before.psi_cpu_s) / watch.elapsed_s();
  const double memory = (watch.now.psi_mem_s - watch.before.psi_mem_s) / watch.elapsed_s();
  return check_row_if(
      cpu <= kOthersMax && memory <= kMemoryStallMax, "pressure",
      fmt::format("some task waits for a CPU {:.0f} % of the time, for memory {:.0f} %", 100 * cpu,
                  100 * memory),
      "run fewer other programs, or ones that need less memory, while measuring");
}

Json examine_steal(const Watch& watch) {
  struct sysinfo about{};
  ::sysinfo(&about);
  const double cpu_s = static_cast<double>(about.uptime) * watch.now.cpus;
  const double since_boot = cpu_s > 0 ? watch.now.steal_s / cpu_s : 0;
  const double now = (watch.now.steal_s - watch.before.steal_s) / watch.elapsed_s();
  return check_row_if(
      now <= kStealMax && since_boot <= kStealSinceBootMax, "steal",
      fmt::format("the hypervisor took {:.1f} % of the CPU time since boot, {:.1f} % now",
                  100 * since_boot, 100 * now / watch.now.cpus),
      "measure when the host's other guests are idle, or on CPUs of your own; rows above 2 % are "
      "marked noisy");
}

Json examine_swap() {
  const auto kibibytes = [](const char* key) {
    return std::strtod(proc_value("/proc/meminfo", key).c_str(), nullptr);
  };
  const double used = 1024 * (kibibytes("SwapTotal:") - kibibytes("SwapFree:"));
  return check_row_if(used < kSwapMaxBytes, "swap", format_bytes(used) + " in use",
                      "end what fills the memory, then swapoff -a while measuring: a region that "
                      "is swapped out measures the disk");
}

Json examine_virtualisation() {
  const std::string flags = proc_value("/proc/cpuinfo", "flags") + " ";
  const bool is_guest = flags.find(" hypervisor ") != std::string::npos;
  return check_row_if(!is_guest, "virtual machine",
                      is_guest ? "a guest: page faults and wake-ups cost more, and the host's "
                                 "other guests take part"
                               : "the CPU tells of no hypervisor",
                      "compare within one campaign, or measure on a machine of your own");
}

}  // namespace

Json examine_noise() {
  const Watch watch = watch_machine();
  return Json::array({examine_others(watch), examine_pressure(watch), examine_steal(watch),
                      examine_swap(), examine_virtualisation()});
}

}  // namespace memsync
