#include "harness/doctor.h"

#include <filesystem>
#include <fstream>
#include <sys/statvfs.h>
#include <thread>
#include <unistd.h>

#include "approaches/registry.h"
#include "harness/doctor_check.h"
#include "harness/doctor_noise.h"
#include "harness/environment.h"
#include "harness/machine.h"
#include "lib/os/awake_cpus.h"
#include "lib/os/process.h"
#include "lib/region/quantity.h"
#include "netem/link.h"

namespace memsync {

namespace {

using Json = nlohmann::json;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void examine_engines(Json& checks, bool& any) {
  for (const EngineState& engine : probe_engines()) {
    const bool best_effort = engine.engine == LinkEngine::none;
    any = any || engine.available;
    checks.push_back(check_row("link engine " + std::string(engine_name(engine.engine)),
                               engine.available ? "ok" : "missing",
                               engine.available
                                   ? (best_effort ? "forwards only: no delay, no rate" : "usable")
                                   : engine.reason,
                               engine.next_step, {"links"}));
  }
}

void examine_approaches(Json& checks, bool& any) {
  for (const SyncStrategy* strategy : all_strategies()) {
    const auto unmet = strategy->unmet_requirements(Options(strategy->info().options, {}));
    any = any || unmet.empty();
    const std::string name(strategy->info().name);
    if (unmet.empty()) checks.push_back(check_row("approach " + name, "ok", "usable", "", {name}));
    // Each sentence of an approach ends with its next step after a semicolon or colon.
    for (const std::string& sentence : unmet)
      checks.push_back(check_row("approach " + name, "missing", sentence, sentence, {name}));
  }
}

Json examine_privilege() {
  if (::geteuid() == 0) return check_row("privilege", "ok", "root");
  return check_row(
      "privilege", "limited",
      "user " + std::to_string(::geteuid()) + ": links have no delay and no rate (engine none)",
      "run as root for emulated links", {"link engine tun", "link engine tc"});
}

Json examine_memory() {
  const auto available = static_cast<double>(memory_available_bytes());
  const bool enough = available >= 1e9;
  return check_row(
      "memory", enough ? "ok" : "limited", format_bytes(available) + " available",
      enough ? "" : "regions above half of it are refused by the plan: use smaller ones");
}

Json examine_disk() {
  struct statvfs disk{};
  std::string folder = results_folder();
  while (!std::filesystem::exists(folder))
    folder = std::filesystem::path(folder).parent_path().string();
  if (::statvfs(folder.c_str(), &disk) != 0)
    return check_row("disk", "missing", "can't tell the free space of " + folder);
  const double free_bytes = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  const bool enough = free_bytes >= 100e6;
  return check_row("disk", enough ? "ok" : "limited",
                   format_bytes(free_bytes) + " free for results in " + folder,
                   enough ? "" : "free some space, or choose another folder with --out", {"run"});
}

Json examine_cpus() {
  const unsigned cpus = std::thread::hardware_concurrency();
  if (cpus >= 4) return check_row("cpus", "ok", std::to_string(cpus) + " CPUs");
  return check_row(
      "cpus", "limited",
      std::to_string(cpus) +
          " CPUs: source, destination and link share them, so figures at RTT 0 are noisy",
      "use a machine with at least 4 CPUs, or rely on ratios within one campaign");
}

Json examine_clock() {
  const std::string source =
      first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  const bool fast = source == "tsc" || source == "kvm-clock";
  return check_row(
      "clock source", fast ? "ok" : "limited", source.empty() ? "not told by the kernel" : source,
      fast ? "" : "reading the clock costs a system call here: accesses below 1 us are overstated");
}

Json examine_governor() {
  const std::string governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  if (governor.empty())
    return check_row("cpu frequency", "ok", "not controlled by this kernel (a guest, as a rule)");
  const bool steady = governor == "performance";
  return check_row("cpu frequency", steady ? "ok" : "limited", "governor " + governor,
                   steady ? "" : "cpupower frequency-set -g performance");
}

Json examine_cpu_sleep() {
  const std::string problem = AwakeCpus().problem();
  return check_row("cpu sleep", problem.empty() ? "ok" : "limited",
                   problem.empty() ? "idle CPUs are kept awake while something is measured"
                                   : "idle CPUs can't be kept awake, which adds up to 0.1 ms to "
                                     "each wake-up: " +
                                         problem,
                   problem.empty() ? "" : "run as root, on a kernel with that device");
}

Json examine_tool(const std::string& tool, const std::string& package,
                  const std::string& needed_by) {
  const auto found = run_tool({"sh", "-c", "PATH=$PATH:/usr/sbin:/sbin command -v " + tool});
  return found.ok() ? check_row(tool, "ok", found.output.substr(0, found.output.find('\n')), "",
                                {needed_by})
                    : check_row(tool, "missing", tool + " is not installed",
                                "scripts/setup run (package " + package + ")", {needed_by});
}

Json examine_python() {
  const std::string python = source_folder() + "/.venv/bin/python";
  if (std::filesystem::exists(python))
    return check_row("python", "ok", python, "", {"plot", "report"});
  return check_row("python", "missing", "no environment at " + python, "scripts/setup run",
                   {"plot", "report"});
}

}  // namespace

Json examine_machine() {
  Json checks = Json::array();
  bool any_engine = false;
  bool any_approach = false;
  checks.push_back(examine_privilege());
  checks.push_back(examine_tool("ip", "iproute2", "links"));
  checks.push_back(examine_tool("tc", "iproute2", "links"));
  checks.push_back(examine_tool("nft", "nftables", "link profile nat"));
  examine_engines(checks, any_engine);
  examine_approaches(checks, any_approach);
  checks.push_back(examine_memory());
  checks.push_back(examine_disk());
  checks.push_back(examine_cpus());
  checks.push_back(examine_clock());
  checks.push_back(examine_governor());
  checks.push_back(examine_cpu_sleep());
  for (Json& check : examine_noise()) checks.push_back(std::move(check));
  checks.push_back(examine_python());
  return {{"ok", any_engine && any_approach}, {"checks", checks}};
}

}  // namespace memsync
