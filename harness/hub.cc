#include "harness/hub.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <sys/resource.h>

#include "approaches/mmap_push/hub/hub.h"
#include "harness/exit_codes.h"
#include "harness/hub_status.h"
#include "harness/push_connection.h"
#include "harness/received_versions.h"
#include "harness/stop_requests.h"
#include "lib/os/file_descriptor.h"

namespace memsync {

namespace {

constexpr size_t kPeersMax = 1024;
// What the hub itself has open, and a file with three.
constexpr size_t kDescriptorsOfOurs = 24;
// Two, one of somebody who is turned away, and two for files.
constexpr size_t kDescriptorsPerPeer = 5;
constexpr size_t kTurnedAwayMax = 16;
constexpr Nanoseconds kGreeting = std::chrono::seconds(10);
constexpr Nanoseconds kWordInterval = std::chrono::seconds(2);

void tell(const std::string& sentence) {
  std::fputs(("memsync hub: " + sentence + "\n").c_str(), stderr);
}

// So that files can still be opened when all of them are here.
size_t peers_max() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto descriptors = static_cast<size_t>(limit.rlim_cur);
  if (descriptors <= kDescriptorsOfOurs + kDescriptorsPerPeer) return 1;
  return std::min(kPeersMax, (descriptors - kDescriptorsOfOurs) / kDescriptorsPerPeer);
}

void print_delivered(const std::string& peer, const std::string& name, uint64_t version) {
  fmt::print("{}\n", nlohmann::json{{"delivered", name}, {"version", version}, {"peer", peer}}.dump(
                         -1, ' ', false, nlohmann::json::error_handler_t::replace));
  std::fflush(stdout);
}

mmap_push::HubSettings settings_of(const HubOptions& options) {
  return {.folder = options.folder,
          .durable = options.durable ? mmap_push::Durable::on : mmap_push::Durable::off,
          .forwarder = {.topology = options.topology == "static" ? mmap_push::Topology::fixed
                                                                 : mmap_push::Topology::dynamic,
                        .compression = options.compress == "zstd" ? mmap_push::Compression::zstd
                                                                  : mmap_push::Compression::off},
          .peers_max = peers_max(),
          .turned_away_max = std::min(kTurnedAwayMax, peers_max())};
}

mmap_push::HubEvents events_of(const HubOptions& options) {
  const bool json = options.json;
  mmap_push::HubEvents events;
  events.told = tell;
  events.identify = [](Stream& stream) {
    notice_dead_peer(stream);
    if (auto* const tls = dynamic_cast<TlsStream*>(&stream)) tls->shake_hands(after(kGreeting));
    return stream.peer_identity().value_or(PeerIdentity{});
  };
  events.published = [json](const std::string& name, uint64_t version, uint64_t size,
                            uint64_t payload) {
    print_version(name, version, size, payload, json);
  };
  events.delivered = [json](const mmap_push::Peer& peer, const std::string& name,
                            uint64_t version) {
    if (json) print_delivered(peer.title, name, version);
  };
  return events;
}

mmap_push::HubPolicy hub_policy(const std::optional<AccessPolicy>& policy) {
  if (!policy) return {};
  return {.why_not_publish =
              [&](const mmap_push::Peer& peer, const std::string& name) {
                return policy->objection(peer.identity, Right::publish, name);
              },
          .may_read =
              [&](const mmap_push::Peer& peer, const std::string& name) {
                return policy->objection(peer.identity, Right::read, name).empty();
              }};
}

// Who may neither publish nor read anything is refused before it says a word.
std::string objection_to(const AccessPolicy& policy, const PeerIdentity& who) {
  if (policy.objection(who, Right::publish).empty()) return "";
  return policy.objection(who, Right::read);
}

std::unique_ptr<Listener> listen_at(Network& network) {
  try {
    return network.listen("hub");
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(std::string(problem.what()) +
                                "; choose another --listen, port 0 for any that is free");
  }
}

int run_hub(const HubOptions& options) {
  InterruptWatch interrupts;
  const StopRequests stops(interrupts, StopRequests::First::cancels);
  const FileDescriptor lock = take_folder(options.folder);
  allow_all_descriptors();
  const auto policy = policy_of(options.tls);
  mmap_push::Hub hub(settings_of(options), hub_policy(policy), events_of(options));
  const auto network = open_network(
      options.listen.empty() ? "127.0.0.1:0" : options.listen, options.tls, {},
      [&](const PeerIdentity& who) { return policy ? objection_to(*policy, who) : std::string(); });
  Deadline next_word = after(kWordInterval);
  hub.load([&](const std::string& name) {
    if (Clock::now() >= next_word) {
      tell("reading what an earlier hub left here: " + name);
      next_word = after(kWordInterval);
    }
    return !stops.cancelled().stop_requested();
  });
  if (stops.cancelled().stop_requested()) return exit_code::kInterrupted;
  const auto listener = listen_at(*network);
  const std::string address = network->address("");
  print_address(address, options.json);
  tell(
      fmt::format("files pushed to {} come to {} and go to every `memsync receive {} DIR`; Ctrl-C "
                  "ends it",
                  address, options.folder, address));
  hub.run(*listener, stops.cancelled());
  return exit_code::kOk;
}

}  // namespace

int hub_command(const HubOptions& options) {
  if (!options.status.empty()) {
    if (!options.folder.empty() || !options.listen.empty())
      throw std::invalid_argument(
          "--status asks a hub that runs elsewhere: memsync hub --status ADDRESS");
    return hub_status_command(options);
  }
  if (options.folder.empty())
    throw std::invalid_argument(
        "say where the hub keeps its files: memsync hub DIR --listen ADDRESS");
  try {
    return run_hub(options);
  } catch (const std::system_error& problem) {
    tell(problem.what());
    return exit_code::kIncomplete;
  }
}

}  // namespace memsync
