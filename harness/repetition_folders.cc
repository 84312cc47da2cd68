#include "harness/repetition_folders.h"

#include <filesystem>
#include <vector>

namespace memsync {

namespace {

namespace fs = std::filesystem;

constexpr int kKeepLevels = 4;  // kept/SERIES/WORKLOAD/LINK

std::vector<std::string> hosts_of(const RepetitionSetup& setup) {
  std::vector<std::string> hosts{"source"};
  const uint64_t destinations = setup.suite.workloads[setup.cell.workload].receivers;
  for (uint64_t i = 0; i < destinations; ++i) hosts.push_back("destination" + std::to_string(i));
  return hosts;
}

}  // namespace

std::string log_path(const RepetitionSetup& setup, const std::string& host) {
  return setup.log_folder + "/" + setup.run_id + "." + host + ".log";
}

std::string make_keep_folder(const RepetitionSetup& setup, const std::string& host) {
  if (setup.remote != nullptr) return "";
  const fs::path folder = fs::path(setup.keep_folder) / host;
  fs::create_directories(folder);
  return folder.string();
}

void remove_empty_files(const RepetitionSetup& setup, Row& row) {
  std::error_code ignored;
  for (const std::string& host : hosts_of(setup)) {
    const std::string log = log_path(setup, host);
    if (fs::file_size(log, ignored) == 0)
      fs::remove(log, ignored);
    else if (!ignored)
      row.set("log_path", "logs/" + setup.run_id + "." + host + ".log");
    fs::remove(fs::path(setup.keep_folder) / host, ignored);  // fails where something is in it
  }
  fs::path folder = setup.keep_folder;
  for (int level = 0; level < kKeepLevels && fs::remove(folder, ignored); ++level)
    folder = folder.parent_path();
}

}  // namespace memsync
