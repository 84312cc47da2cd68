// Finds and removes what a killed campaign may have left, and only that.
#pragma once

#include <string>
#include <vector>

namespace memsync {

struct Leftover {
  std::string what;  // "agent 1234, whose conductor 1200 is gone"
  int process = 0;   // to be killed
};

// Processes that carry the token of a conductor that no longer lives. Namespaces and devices need
// no search: they have no names and go with the processes that hold them.
std::vector<Leftover> find_leftovers();
void remove_leftover(const Leftover& leftover);

}  // namespace memsync
