// How `memsync serve` and `memsync pull` are written on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "harness/pull.h"
#include "harness/serve.h"

namespace memsync {

void declare_serve(CLI::App& app, ServeOptions& options);
void declare_pull(CLI::App& app, PullOptions& options);
// Takes `-- COMMAND ARGS...` off the end of `memsync pull ...`, so that its words are nobody's
// options; returns the command.
std::vector<std::string> take_command(int& argc, char** argv);

}  // namespace memsync
