// Programs that no registry offers: what memsync itself gives them, which is the region's bytes.
//
//   source's namespace                        destination's namespace
//   this side ── the bytes, then an end ──▶   whoever connects to the service "peer-stream"
#pragma once

#include <string_view>

#include "approaches/sync_strategy.h"

namespace memsync {

// "peer:NAME" in a suite is the program that the command line names.
constexpr bool is_peer(std::string_view use) noexcept {
  return use.starts_with("peer:");
}
constexpr std::string_view peer_name(std::string_view use) noexcept {
  return use.substr(std::string_view("peer:").size());
}

// The stream's service on the source's host.
inline constexpr std::string_view kPeerStream = "peer-stream";

// What all peers share. Its source sends the whole region to each connection, one after the other;
// its destination is a process that the harness starts, so open_destination() throws.
const SyncStrategy& peer_strategy() noexcept;

}  // namespace memsync
