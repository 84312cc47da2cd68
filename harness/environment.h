// Which host, kernel, program and source tree a row comes from.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace memsync {

std::string tool_version();
std::string program_path();   // of the running program
std::string source_folder();  // the checkout that this program was built from

// {"host_id", "kernel", "version", "build_id", "cpus", "memory_B"} of this host.
nlohmann::json host_json();

struct GitState {
  std::string sha;          // 40 digits; "" outside a checkout
  bool dirty = false;       // tracked files were changed
  std::string diff_digest;  // XXH3-128 of `git diff HEAD`; "" when clean
};
GitState git_state(const std::string& folder);

// Everything about this host that may explain a figure: CPU, memory, kernel command line, sysctls,
// clock source, frequency governor, what is mounted on the results' folder.
nlohmann::json audit_host(const std::string& results_folder);

uint64_t memory_available_bytes();
// Bytes per second of memcpy between two touched 32 MiB buffers, the best of five.
double measure_copy_rate();

}  // namespace memsync
