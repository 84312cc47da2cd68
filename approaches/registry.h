// All approaches there are, made from the list in the top CMakeLists.txt.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "approaches/sync_strategy.h"

namespace memsync {

// In the list's order; they live as long as the program.
std::span<const SyncStrategy* const> all_strategies();
// nullptr when there is none of that name. "peer:NAME" is peer_strategy(), whatever the name.
const SyncStrategy* find_strategy(std::string_view name);

// Each folder of approaches/ defines one such function, named after it, in <folder>/register.cc:
//   void register_userfaultfd(std::vector<const SyncStrategy*>& strategies);

}  // namespace memsync
