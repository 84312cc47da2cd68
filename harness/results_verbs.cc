#include "harness/results_verbs.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

#include "harness/environment.h"
#include "harness/exit_codes.h"
#include "lib/os/error.h"
#include "lib/os/process.h"

namespace memsync {

namespace {

std::string python_path() {
  return source_folder() + "/.venv/bin/python";
}

std::vector<std::string> words_for(const std::string& verb,
                                   const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {python_path(), "-m", "memsync_results", verb};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

// What the package is found by, and what its verbs run campaigns with.
std::vector<std::pair<std::string, std::string>> variables() {
  const char* known = std::getenv("PYTHONPATH");
  return {{"PYTHONPATH",
           source_folder() + "/scripts" + (known != nullptr ? ":" + std::string(known) : "")},
          {"MEMSYNC_PROGRAM", program_path()}};
}

bool is_python_there(const std::string& verb) {
  if (std::filesystem::exists(python_path())) return true;
  fmt::print(stderr,
             "memsync {}: there is no Python environment at {}; make it with scripts/setup run\n",
             verb, python_path());
  return false;
}

}  // namespace

int results_command(const std::string& verb, const std::vector<std::string>& arguments) {
  if (!is_python_there(verb)) return exit_code::kUnsupported;
  std::vector<std::string> words = words_for(verb, arguments);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  for (const auto& [name, value] : variables()) ::setenv(name.c_str(), value.c_str(), 1);
  ::execv(argv[0], argv.data());
  throw_errno("starting " + words[0]);
}

void tell_demands(const std::string& results_directory, TableTo where) {
  if (!is_python_there("demands")) return;
  std::fflush(stdout);  // what was printed before stands before the table
  ProcessSetup setup;
  setup.arguments = words_for("demands", {results_directory});
  for (const auto& [name, value] : variables()) setup.environment.push_back(name + "=" + value);
  if (where == TableTo::standard_error) setup.descriptors = {{STDERR_FILENO, STDOUT_FILENO}};
  try {
    constexpr auto kLimit = std::chrono::minutes(2);
    const auto end = Process::start(setup).wait_until(after(kLimit));
    if (end && end->signal == 0 && end->exit_code == exit_code::kOk) return;
    fmt::print(stderr, "memsync demands: {}\n", end ? end->describe() : "did not end in time");
  } catch (const std::system_error& failure) {
    fmt::print(stderr, "memsync demands: {}\n", failure.what());
  }
}

}  // namespace memsync
