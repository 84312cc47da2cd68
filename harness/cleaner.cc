#include "harness/cleaner.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/process.h"
#include "lib/os/temporary_folder.h"

namespace memsync {

namespace {

namespace fs = std::filesystem;

// The command line with spaces for the zeros between its words.
std::string command_line(const std::string& process) {
  std::ifstream file("/proc/" + process + "/cmdline", std::ios::binary);
  std::string line{std::istreambuf_iterator<char>(file), {}};
  for (char& letter : line)
    if (letter == '\0') letter = ' ';
  return line;
}

// The conductor that a process says it belongs to; "" when it carries no token of ours.
std::string conductor_of(const std::string& process) {
  std::ifstream file("/proc/" + process + "/environ", std::ios::binary);
  const std::string prefix = std::string(kConductorToken) + "=";
  for (std::string entry; std::getline(file, entry, '\0');)
    if (entry.starts_with(prefix)) return entry.substr(prefix.size());
  return "";
}

// This user's folders <place>/<prefix><pid>-XXXXXX whose process is gone. A pid that is in use
// again counts as living: better a folder too many than one too few.
void find_folders(const fs::path& place, const std::string& prefix, const std::string& whose,
                  std::vector<Leftover>& found) {
  std::error_code ignored;  // not every machine has every place
  for (const auto& entry : fs::directory_iterator(place, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const int pid = std::atoi(name.c_str() + prefix.size());
    struct stat about{};
    const bool is_ours = ::lstat(entry.path().c_str(), &about) == 0 && S_ISDIR(about.st_mode) &&
                         about.st_uid == ::geteuid();
    if (pid <= 0 || !is_ours || !process_identity(pid).empty()) continue;
    found.push_back({"folder " + entry.path().string() + ", whose " + whose + " is gone", 0,
                     entry.path().string()});
  }
}

std::vector<Leftover> find_side_folders() {
  std::vector<Leftover> found;
  for (const fs::path& place : {fs::temp_directory_path(), fs::path(kMemoryFolder)})
    find_folders(place, TemporaryFolder::kPrefix, "process", found);
  return found;
}

bool is_a_process(const std::string& name) {
  return name.find_first_not_of("0123456789") == std::string::npos;
}

bool lives(const std::string& identity) {
  return process_identity(std::atoi(identity.c_str())) == identity;
}

}  // namespace

std::vector<Leftover> find_leftovers() {
  std::vector<Leftover> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (!is_a_process(name)) continue;
    const std::string conductor = conductor_of(name);
    if (conductor.empty() || lives(conductor)) continue;
    found.push_back({"process " + name + " (" + command_line(name) + "), whose conductor is gone",
                     std::atoi(name.c_str()), ""});
  }
  find_folders(fs::temp_directory_path(), kPullFolderPrefix, "pull", found);
  std::ranges::move(find_side_folders(), std::back_inserter(found));
  return found;
}

void remove_leftovers_of(int process) noexcept try {
  const std::string pid = std::to_string(process);
  bool has_left_any = false;
  for (const Leftover& folder : find_side_folders()) {
    const std::string name = fs::path(folder.folder).filename().string();
    if (!name.starts_with(TemporaryFolder::kPrefix + pid + "-")) continue;
    remove_leftover(folder);
    has_left_any = true;
  }
  if (!has_left_any) return;  // who ends in order ends its children, too
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (is_a_process(name) && conductor_of(name).starts_with(pid + ":"))
      ::kill(std::atoi(name.c_str()), SIGKILL);
  }
} catch (const std::exception&) {
  // `memsync clean` finds it.
}

void remove_pull_folder(const std::string& folder) noexcept {
  for (const char* name : kPullFiles) ::unlink((folder + "/" + name).c_str());
  ::rmdir(folder.c_str());
}

void remove_leftover(const Leftover& leftover) {
  if (leftover.process > 0) ::kill(leftover.process, SIGKILL);
  if (leftover.folder.empty()) return;
  std::error_code ignored;
  if (fs::path(leftover.folder).filename().string().starts_with(TemporaryFolder::kPrefix))
    fs::remove_all(leftover.folder, ignored);
  else
    remove_pull_folder(leftover.folder);
}

}  // namespace memsync
