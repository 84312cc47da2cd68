#include "approaches/registry.h"

#include "approaches/peer.h"
#include "approaches/registered_folders.inc"  // generated: DECLARE one function per folder

namespace memsync {

std::span<const SyncStrategy* const> all_strategies() {
  static const auto kStrategies = [] {
    std::vector<const SyncStrategy*> strategies;
    register_all_folders(strategies);
    return strategies;
  }();
  return kStrategies;
}

const SyncStrategy* find_strategy(std::string_view name) {
  for (const SyncStrategy* strategy : all_strategies())
    if (strategy->info().name == name) return strategy;
  return is_peer(name) ? &peer_strategy() : nullptr;
}

std::string_view access_name(Access access) noexcept {
  switch (access) {
    case Access::none:
      return "none";
    case Access::blocked:
      return "blocked";
    case Access::read:
      return "read";
    case Access::read_write:
      return "read_write";
  }
  return "";
}

}  // namespace memsync
