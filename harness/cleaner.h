// Finds and removes what a killed campaign, a killed `memsync pull` or a killed side of an approach
// may have left, and only that.
#pragma once

#include <string>
#include <vector>

namespace memsync {

struct Leftover {
  std::string what;  // "agent 1234, whose conductor 1200 is gone"
  int process = 0;   // to be killed
  std::string
      folder;  // to be removed: a pull's with what pull makes in it, a side's with all in it
};

// The folder of a `memsync pull` is <temporary folder>/memsync-pull-<its pid>-XXXXXX, and holds
// these.
inline constexpr const char* kPullFolderPrefix = "memsync-pull-";
inline constexpr const char* kPullFiles[] = {"region", "faults"};
// Removes them, and the folder if nothing else is in it.
void remove_pull_folder(const std::string& folder) noexcept;

// Processes that carry the token of a conductor that no longer lives, and this user's folders of
// pulls and sides (TemporaryFolder) that no longer live. Namespaces and devices need no search:
// they have no names and go with the processes that hold them.
std::vector<Leftover> find_leftovers();
void remove_leftover(const Leftover& leftover);
// What a process of ours, which has been waited for, left when it was killed: its folders, and whom
// it had started.
void remove_leftovers_of(int process) noexcept;

}  // namespace memsync
