#include "harness/environment.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <thread>
#include <unistd.h>

#include "harness/process_meter.h"
#include "lib/backend/stores.h"
#include "lib/os/awake_cpus.h"
#include "lib/os/clock.h"
#include "lib/os/mapping.h"
#include "lib/os/process.h"
#include "lib/region/digest.h"

namespace memsync {

namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.pop_back();
  return text;
}

std::string trimmed(const std::string& text) {
  const size_t start = text.find_first_not_of(" \t:");
  return start == std::string::npos ? "" : text.substr(start);
}

std::string short_hash(const std::string& text) {
  return to_hex(digest_of(std::as_bytes(std::span(text)))).substr(0, 12);
}

std::string program_digest() {
  FileBackend file(program_path(), FileBackend::Mode::read_only);
  std::vector<std::byte> bytes(file.size_bytes());
  file.read_at(bytes, 0);
  return to_hex(digest_of(bytes)).substr(0, 16);
}

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string kernel_release() {
  utsname names{};
  ::uname(&names);
  return names.release;
}

}  // namespace

std::string tool_version() {
  return MEMSYNC_VERSION;
}

std::string program_path() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

std::string source_folder() {
  return MEMSYNC_SOURCE_FOLDER;
}

nlohmann::json host_json() {
  static const std::string kBuildId = program_digest();
  const uint64_t memory_kib =
      std::strtoull(proc_value("/proc/meminfo", "MemTotal:").c_str(), nullptr, 10);
  return {{"host_id", short_hash(read_text("/etc/machine-id") + "@" + host_name())},
          {"kernel", kernel_release()},
          {"version", tool_version()},
          {"build_id", kBuildId},
          {"cpus", std::thread::hardware_concurrency()},
          {"memory_B", memory_kib * 1024}};
}

GitState git_state(const std::string& folder) {
  GitState state;
  const auto head = run_tool({"git", "-C", folder, "rev-parse", "HEAD"});
  if (!head.ok()) return state;
  state.sha = head.output.substr(0, 40);
  const auto changed =
      run_tool({"git", "-C", folder, "status", "--porcelain", "--untracked-files=no"});
  state.dirty = changed.ok() && !changed.output.empty();
  if (state.dirty) {
    const auto diff = run_tool({"git", "-C", folder, "diff", "HEAD"});
    state.diff_digest = to_hex(digest_of(std::as_bytes(std::span(diff.output))));
  }
  return state;
}

nlohmann::json audit_host(const std::string& results_folder) {
  nlohmann::json audit = host_json();
  audit["cpu_model"] = trimmed(proc_value("/proc/cpuinfo", "model name"));
  audit["kernel_command_line"] = read_text("/proc/cmdline");
  audit["clock_source"] =
      read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  audit["governor"] = read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  audit["cpus_kept_awake"] = AwakeCpus().problem().empty();
  audit["transparent_hugepages"] = read_text("/sys/kernel/mm/transparent_hugepage/enabled");
  audit["distribution"] = trimmed(proc_value("/etc/os-release", "PRETTY_NAME="));
  for (const char* name : {"net/ipv4/tcp_congestion_control", "net/ipv4/tcp_rmem",
                           "net/ipv4/tcp_wmem", "net/core/rmem_max", "net/core/wmem_max",
                           "vm/unprivileged_userfaultfd", "vm/overcommit_memory", "vm/swappiness"})
    audit["sysctl"][name] = read_text(std::string("/proc/sys/") + name);
  struct statfs filesystem{};
  if (::statfs(results_folder.c_str(), &filesystem) == 0) {
    char type[32];
    std::snprintf(type, sizeof type, "0x%lx", static_cast<unsigned long>(filesystem.f_type));
    audit["results_filesystem"] = type;
  }
  return audit;
}

uint64_t memory_available_bytes() {
  return std::strtoull(proc_value("/proc/meminfo", "MemAvailable:").c_str(), nullptr, 10) * 1024;
}

double measure_copy_rate() {
  constexpr uint64_t kBytes = 32U << 20;
  const Mapping from = Mapping::anonymous(kBytes, Population::at_once);
  const Mapping into = Mapping::anonymous(kBytes, Population::at_once);
  std::memset(from.bytes().data(), 1, kBytes);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const Deadline before = Clock::now();
    std::memcpy(into.bytes().data(), from.bytes().data(), kBytes);
    best = std::max(best, static_cast<double>(kBytes) / seconds(Clock::now() - before));
  }
  return best;
}

}  // namespace memsync
