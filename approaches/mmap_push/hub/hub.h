// A hub: files that pushers bring to its folder go on to every receiver that has dialled.
//
//   push ──▶ Receiver ──▶ HubFolder: file, digests ──▶ Forwarder ──▶ receive
//   push ──▶ Receiver ──▶                          ──▶ Forwarder ──▶ receive
//            one thread per connection             ◀── hub --status
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "approaches/mmap_push/hub/forwarder.h"
#include "approaches/mmap_push/hub/hub_folder.h"
#include "lib/transport/stream.h"

namespace memsync::mmap_push {

// Who is at the other end.
struct Peer {
  std::string title;        // "peer 3": in words and in the status
  PeerIdentity identity{};  // whom the connection has proved it to be; no name where nothing does
};

// Who may do what, asked in the thread of the peer's connection.
struct HubPolicy {
  // "" or why not, for the pusher to read.
  std::function<std::string(const Peer&, const std::string& name)> why_not_publish;
  // False: the receiver never hears of the file.
  std::function<bool(const Peer&, const std::string& name)> may_read;
};

struct HubSettings {
  std::string folder;
  Durable durable = Durable::off;
  ForwarderSettings forwarder;
  size_t peers_max = 1024;      // at once; a thread each
  size_t turned_away_max = 16;  // at once, of those beyond; the rest are closed without a word
  Nanoseconds greeting_limit = std::chrono::seconds(10);
};

// Told in the thread of a connection.
struct HubEvents {
  std::function<void(const std::string& sentence)> told;
  // Before anything is read. Throws to refuse the peer.
  std::function<PeerIdentity(Stream&)> identify;
  std::function<void(const std::string& name, uint64_t version, uint64_t size_bytes,
                     uint64_t payload_bytes)>
      published;
  std::function<void(const Peer&, const std::string& name, uint64_t version)> delivered;
  // What it pushed may be pushed by others now.
  std::function<void(const Peer&)> ended;
};

// Threads: load() and run() from one, in this order; status() from any.
class Hub {
 public:
  Hub(HubSettings settings, HubPolicy policy, HubEvents events);
  ~Hub();

  // As HubFolder::load().
  void load(const std::function<bool(const std::string& name)>& going_on);
  // Serves whoever comes until the stop is requested; every connection has ended then.
  void run(Listener& listener, const std::stop_token& stop);

  // JSON: {"files": [{"name", "version", "size_B", "block_B", "is_pushed", "receivers":
  // [{"peer", "version", "missing_B"}]}], "peers": [{"peer", "identity", "role", "payload_B"}]}.
  std::string status() const;

 private:
  struct Connection;
  std::unique_ptr<Stream> accept(Listener& listener, const std::stop_token& stop) const;
  void admit(std::unique_ptr<Stream> stream, const std::stop_token& stop);
  void turn_away(Stream& stream) const;
  void serve(Connection& connection, const std::stop_token& stop);
  void serve_role(Connection& connection);
  void serve_pusher(Connection& connection, const Hello& hello);
  void serve_receiver(Connection& connection, const Hello& hello);
  void serve_observer(Stream& stream, const Hello& hello) const;
  void tell(const std::string& sentence) const;

  const HubSettings settings_;
  const HubPolicy policy_;
  const HubEvents events_;
  HubFolder folder_;
  uint64_t count_ = 0;
  mutable Mutex mutex_;  // of the list, not of what a connection does
  std::list<Connection> connections_ GUARDED_BY(mutex_);
};

}  // namespace memsync::mmap_push
