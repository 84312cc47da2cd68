#include "harness/repetition_folders.h"

#include <filesystem>

namespace memsync {

namespace {

namespace fs = std::filesystem;

constexpr const char* kHosts[] = {"source", "destination0"};
constexpr int kKeepLevels = 4;  // kept/SERIES/WORKLOAD/LINK

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
  for (const char* host : kHosts) {
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
