// A campaign: every planned repetition of a suite, in seeded order, each a row on disk.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/repetition.h"

namespace memsync {

struct RunOptions {
  std::string suite;    // name or path; "" with `resume`
  std::string resume;   // a results directory; "" to begin a new one
  std::string out;      // exactly this directory; "": made under results/
  std::string content;  // a file that becomes every region
  std::optional<unsigned> reps;
  std::string filter;
  bool controls = false;  // add control cells: harness/controls.h
  std::optional<uint64_t> seed;
  std::optional<Nanoseconds> time_budget;  // no new round begins that would not end within it
  std::optional<unsigned> rounds;  // stop after so many more; --resume goes on with the next
  std::optional<RemoteAgents> remote;
  std::map<std::string, std::string> peers{};  // programs of `peer:NAME`, by NAME
  bool concurrent = false;                     // don't wait for another campaign of this machine
  bool json = false;                           // also print the counts as a line of JSON
  std::vector<std::string> command_line;       // as typed, for the manifest
};

// Runs it to its end and prints the results directory as the last line on stdout. Returns the exit
// code. Throws SuiteError, std::system_error when results can't be written, and the like.
int run_campaign(const RunOptions& options);

}  // namespace memsync
