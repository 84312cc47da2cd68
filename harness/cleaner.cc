#include "harness/cleaner.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "harness/process_meter.h"

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

bool is_ours(const std::string& line) {
  const bool agent = line.find("memsync agent --control-fd") != std::string::npos;
  const bool link = line.find("memsync-link ") != std::string::npos;
  return agent || link;
}

}  // namespace

std::vector<Leftover> find_leftovers() {
  std::vector<Leftover> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!is_ours(command_line(name))) continue;
    const int parent = std::atoi(proc_value("/proc/" + name + "/status", "PPid:").c_str());
    // A living conductor is a memsync program too; anything else has inherited an orphan.
    if (parent > 1 && command_line(std::to_string(parent)).find("memsync") != std::string::npos) continue;
    found.push_back({"process " + name + " (" + command_line(name) + "), whose conductor is gone", std::atoi(name.c_str())});
  }
  return found;
}

void remove_leftover(const Leftover& leftover) { ::kill(leftover.process, SIGKILL); }

}  // namespace memsync
