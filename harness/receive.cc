#include "harness/receive.h"

#include <cstdio>
#include <fmt/format.h>
#include <list>
#include <poll.h>
#include <set>
#include <stdexcept>
#include <thread>

#include "approaches/mmap_push/receiver.h"
#include "harness/exit_codes.h"
#include "harness/push_connection.h"
#include "harness/receive_from_hub.h"
#include "harness/received_versions.h"
#include "harness/stop_requests.h"
#include "lib/os/error.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

using mmap_push::ReceivedFile;

constexpr Nanoseconds kGreeting = std::chrono::seconds(10);
constexpr size_t kPushersMax = 64;  // at once
constexpr int kAcceptPause = 500;   // ms

// The names that connections are pushing. Threads: any.
class NamesInUse {
 public:
  // False: somebody else has it.
  bool take(const std::string& name) {
    const MutexLock lock(mutex_);
    return names_.insert(name).second;
  }
  void give_back(const std::set<std::string>& names) {
    const MutexLock lock(mutex_);
    for (const std::string& name : names) names_.erase(name);
  }

 private:
  Mutex mutex_;
  std::set<std::string> names_ GUARDED_BY(mutex_);
};

// Those of one connection. Threads: one.
class TakenNames {
 public:
  explicit TakenNames(NamesInUse& all) : all_(all) {}
  ~TakenNames() { all_.give_back(names_); }
  TakenNames(const TakenNames&) = delete;
  TakenNames& operator=(const TakenNames&) = delete;
  // False: another connection has it.
  bool take(const std::string& name) {
    if (names_.contains(name)) return true;  // the receiver has words of its own for that
    if (!all_.take(name)) return false;
    names_.insert(name);
    return true;
  }

 private:
  NamesInUse& all_;
  std::set<std::string> names_;
};

// broken: the pusher may come again; failed: it has no reason to.
enum class Outcome : uint8_t { ended, broken, failed };

// What one connection is served with, in a thread of its own.
class Pusher {
 public:
  Pusher(const ReceiveOptions& options, const std::optional<AccessPolicy>& policy,
         NamesInUse& names, std::string title)
      : policy_(policy),
        names_(names),
        title_(std::move(title)),
        folder_(options.words.back(),
                options.publish == "versions" ? mmap_push::Publish::versions
                                              : mmap_push::Publish::in_place,
                options.durable ? mmap_push::Durable::on : mmap_push::Durable::off),
        versions_(options.json) {}

  Outcome serve(Stream& stream) {
    try {
      mmap_push::Receiver receiver(
          stream, folder_,
          {.offered = [&](const std::string& name) { take(name, stream); },
           .published = [&](ReceivedFile& file, const mmap_push::End&,
                            bool) { versions_.report(file, receiver.payload_bytes()); },
           .caught_up = {},
           .stopping = {}},
          after(kGreeting));
      receiver.serve();
      return Outcome::ended;
    } catch (const std::system_error& problem) {
      tell_receive(fmt::format("{}: {}; what was published stays", title_, problem.what()));
      if (problem.code().category() == tls_category()) return Outcome::broken;  // a stranger
      const int error =
          problem.code().category() == std::generic_category() ? problem.code().value() : 0;
      return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT ? Outcome::broken
                                                                         : Outcome::failed;
    } catch (const std::exception& problem) {
      tell_receive(fmt::format("{}: {}; what was published stays", title_, problem.what()));
      return Outcome::failed;
    }
  }

 private:
  void take(const std::string& name, const Stream& stream) {
    if (policy_) {
      const auto objection =
          policy_->objection(stream.peer_identity().value_or(PeerIdentity{}), Right::publish, name);
      if (!objection.empty()) throw_errno(objection, EACCES);
    }
    if (!names_.take(name))
      throw_errno("'" + name + "' is being pushed by somebody else here", EBUSY);
  }

  const std::optional<AccessPolicy>& policy_;
  TakenNames names_;  // given back after the folder's files are closed
  const std::string title_;
  mmap_push::ReceivedFolder folder_;
  ReceivedVersions versions_;
};

class PushServer {
 public:
  PushServer(const ReceiveOptions& options, const std::optional<AccessPolicy>& policy,
             Listener& listener, std::stop_token cancelled)
      : options_(options), policy_(policy), listener_(listener), cancelled_(std::move(cancelled)) {}

  int run() {
    const std::stop_callback on_cancel(cancelled_, [this] { listener_.close(); });
    while (auto stream = accept()) {
      notice_dead_peer(*stream);
      std::erase_if(connections_, [](const Connection& one) { return one.has_ended.load(); });
      if (connections_.size() >= kPushersMax) {
        turn_away(*stream);
        continue;
      }
      Connection& connection = connections_.emplace_back();
      connection.stream = std::move(stream);
      const std::string title = "pusher " + std::to_string(++count_);
      connection.server = std::jthread([this, &connection, title] { serve(connection, title); });
      if (!options_.once) continue;
      connection.server.join();
      if (connection.outcome == Outcome::broken) continue;
      return connection.outcome == Outcome::ended ? exit_code::kOk : exit_code::kIncomplete;
    }
    return options_.once && cancelled_.stop_requested() ? exit_code::kInterrupted : exit_code::kOk;
  }

 private:
  // The next pusher; nullptr when it is over. What keeps one from being taken may pass.
  std::unique_ptr<Stream> accept() {
    while (true) {
      try {
        return listener_.accept(Deadline::max());
      } catch (const std::system_error& problem) {
        if (cancelled_.stop_requested()) return nullptr;
        tell_receive(std::string("taking the next pusher: ") + problem.what() + "; trying again");
        ::poll(nullptr, 0, kAcceptPause);
      }
    }
  }

  static void turn_away(Stream& stream) {
    const std::string why = fmt::format("{} pushers are here already", kPushersMax);
    tell_receive(why + "; one more was turned away");
    try {
      mmap_push::turn_away(stream, EBUSY, why + "; try again when one has ended");
    } catch (const std::system_error&) {
      // It has gone by itself.
    }
  }

  struct Connection {
    std::unique_ptr<Stream> stream;
    Outcome outcome = Outcome::broken;
    std::atomic<bool> has_ended = false;
    std::jthread server;  // last: what it uses outlives it
  };

  void serve(Connection& connection, const std::string& title) {
    try {
      const std::stop_callback on_cancel(cancelled_, [&] { connection.stream->shut_down(); });
      connection.outcome = Pusher(options_, policy_, names_, title).serve(*connection.stream);
    } catch (const std::exception& problem) {  // the folder has gone
      tell_receive(title + ": " + problem.what());
      connection.outcome = Outcome::failed;
    }
    // Closed, not only shut down: a pusher that waits for room to write would wait on.
    connection.stream.reset();
    connection.has_ended = true;
  }

  const ReceiveOptions& options_;
  const std::optional<AccessPolicy>& policy_;
  Listener& listener_;
  const std::stop_token cancelled_;
  NamesInUse names_;
  uint64_t count_ = 0;
  std::list<Connection> connections_;
};

std::unique_ptr<Listener> listen_at(Network& network) {
  try {
    return network.listen("push");
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(std::string(problem.what()) +
                                "; choose another --listen, port 0 for any that is free");
  }
}

}  // namespace

int receive_command(const ReceiveOptions& options) {
  const bool dials = options.words.size() == 2;
  if (dials && !options.listen.empty())
    throw std::invalid_argument(
        "who dials a hub listens to nobody: memsync receive HUB DIR, or memsync receive DIR "
        "--listen ADDRESS");
  if (dials && !options.tls.policy.empty())
    throw std::invalid_argument(
        "--policy is for who listens; what the hub gives is the hub's --policy");
  InterruptWatch interrupts;
  const StopRequests stops(interrupts, StopRequests::First::cancels);
  const std::string& folder = options.words.back();
  const FileDescriptor lock = take_folder(folder);
  allow_all_descriptors();
  if (dials) return receive_from_hub(options, stops.cancelled());
  const auto policy = policy_of(options.tls);
  const auto network =
      open_network(options.listen.empty() ? "127.0.0.1:0" : options.listen, options.tls, {},
                   [&](const auto& who) {
                     return policy ? policy->objection(who, Right::publish) : std::string();
                   });
  const auto listener = listen_at(*network);
  const std::string address = network->address("");
  print_address(address, options.json);
  tell_receive(fmt::format("files pushed to {} come to {}; Ctrl-C ends it", address, folder));
  return PushServer(options, policy, *listener, stops.cancelled()).run();
}

}  // namespace memsync
