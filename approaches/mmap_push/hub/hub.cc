#include "approaches/mmap_push/hub/hub.h"

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/random.h>

#include "approaches/mmap_push/receiver.h"
#include "lib/os/error.h"
#include "lib/transport/region_service.h"

namespace memsync::mmap_push {

namespace {

constexpr int kAcceptPause = 500;  // ms

uint64_t random_seed() {
  uint64_t seed = 0;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) throw_errno("asking for a random number");
  return seed;
}

const char* word_of(Role role) {
  switch (role) {
    case Role::source:
      return "pusher";
    case Role::receiver:
      return "receiver";
    case Role::observer:
      return "observer";
  }
  return "unknown";
}

}  // namespace

struct Hub::Connection {
  Peer peer;
  std::unique_ptr<Stream> stream;
  bool is_one_too_many = false;  // told so, and nothing else
  // For status(): 0 until it has greeted.
  std::atomic<uint16_t> role = 0;
  std::atomic<uint64_t> payload_bytes = 0;
  std::atomic<bool> has_ended = false;
  std::jthread server;  // last: what it uses outlives it
};

namespace {

// What a pusher's connection has of the hub's folder, given back when it ends.
class LentFiles {
 public:
  LentFiles(HubFolder& hub, const Stream& pusher)
      : folder(hub.open_folder()), hub_(hub), pusher_(pusher) {}
  ~LentFiles() {
    for (const std::string& name : names_) hub_.give_back(name, folder.release(name));
  }
  LentFiles(const LentFiles&) = delete;
  LentFiles& operator=(const LentFiles&) = delete;

  void take(const std::string& name) {
    auto file = hub_.lend(name, pusher_);
    names_.push_back(name);
    if (file) folder.adopt(std::move(file));
  }

  ReceivedFolder folder;

 private:
  HubFolder& hub_;
  const Stream& pusher_;
  std::vector<std::string> names_;
};

}  // namespace

Hub::Hub(HubSettings settings, HubPolicy policy, HubEvents events)
    : settings_(std::move(settings)),
      policy_(std::move(policy)),
      events_(std::move(events)),
      folder_(settings_.folder, settings_.durable, random_seed()) {}

Hub::~Hub() = default;

void Hub::load(const std::function<bool(const std::string& name)>& going_on) {
  folder_.load(going_on);
}

void Hub::tell(const std::string& sentence) const {
  if (events_.told) events_.told(sentence);
}

void Hub::run(Listener& listener, const std::stop_token& stop) {
  const std::stop_callback on_stop(stop, [&] { listener.close(); });
  while (auto stream = accept(listener, stop)) admit(std::move(stream), stop);
  std::list<Connection> last;  // joined without the mutex, which status() wants
  {
    const MutexLock lock(mutex_);
    last.swap(connections_);
  }
  for (Connection& connection : last) connection.server.join();
}

// The next peer; nullptr when it is over. What keeps one from being taken may pass.
std::unique_ptr<Stream> Hub::accept(Listener& listener, const std::stop_token& stop) const {
  while (true) {
    try {
      return listener.accept(Deadline::max());
    } catch (const std::system_error& problem) {
      if (stop.stop_requested()) return nullptr;
      tell(std::string("taking the next peer: ") + problem.what() + "; trying again");
      ::poll(nullptr, 0, kAcceptPause);
    }
  }
}

void Hub::admit(std::unique_ptr<Stream> stream, const std::stop_token& stop) {
  std::list<Connection> ended;  // joined without the mutex
  Connection* connection = nullptr;
  {
    const MutexLock lock(mutex_);
    for (auto one = connections_.begin(); one != connections_.end();) {
      const auto here = one++;
      if (here->has_ended) ended.splice(ended.end(), connections_, here);
    }
    const size_t count = connections_.size();
    if (count < settings_.peers_max + settings_.turned_away_max) {
      connection = &connections_.emplace_back();
      connection->is_one_too_many = count >= settings_.peers_max;
    }
  }
  if (connection == nullptr) return;  // closed without a word
  connection->peer.title = "peer " + std::to_string(++count_);
  connection->stream = std::move(stream);
  try {
    connection->server = std::jthread([this, connection, stop] { serve(*connection, stop); });
  } catch (const std::system_error& problem) {
    tell(std::string("serving one more peer: ") + problem.what());
    connection->stream.reset();
    connection->has_ended = true;
  }
}

void Hub::turn_away(Stream& stream) const {
  const std::string why = std::to_string(settings_.peers_max) + " peers are here already";
  tell(why + "; one more was turned away");
  try {
    mmap_push::turn_away(stream, EBUSY, why + "; try again when one has ended");
  } catch (const std::system_error&) {
    // It has gone by itself.
  }
}

void Hub::serve(Connection& connection, const std::stop_token& stop) {
  const std::string& title = connection.peer.title;
  try {
    const std::stop_callback on_stop(stop, [&] { connection.stream->shut_down(); });
    if (connection.is_one_too_many)
      turn_away(*connection.stream);
    else
      serve_role(connection);
  } catch (const std::exception& problem) {
    if (!stop.stop_requested()) tell(title + ": " + problem.what());
  }
  // Closed, not only shut down: a peer that waits for room to write would wait on.
  connection.stream.reset();
  if (events_.ended) events_.ended(connection.peer);
  connection.has_ended = true;
}

void Hub::serve_role(Connection& connection) {
  if (events_.identify) {
    PeerIdentity identity = events_.identify(*connection.stream);
    const MutexLock lock(mutex_);  // status() reads it
    connection.peer.identity = std::move(identity);
  }
  const Hello hello = read_hello(*connection.stream, after(settings_.greeting_limit));
  connection.role.store(static_cast<uint16_t>(hello.role), std::memory_order_release);
  switch (hello.role) {
    case Role::source:
      serve_pusher(connection, hello);
      break;
    case Role::receiver:
      serve_receiver(connection, hello);
      break;
    case Role::observer:
      serve_observer(*connection.stream, hello);
      break;
    default:
      throw_errno("a peer of an unknown role", EPROTO);
  }
}

void Hub::serve_pusher(Connection& connection, const Hello& hello) {
  LentFiles lent(folder_, *connection.stream);
  const Peer& peer = connection.peer;
  const Receiver* serving = nullptr;
  uint64_t told_bytes = 0;
  ReceiverEvents events;
  events.offered = [&](const std::string& name) {
    if (const std::string why = name_problem(name); !why.empty())
      throw std::system_error(make_error_code(RegionError::refused), why);
    if (const std::string why = policy_.why_not_publish ? policy_.why_not_publish(peer, name) : "";
        !why.empty())
      throw_errno(why, EACCES);
    lent.take(name);
  };
  events.published = [&](ReceivedFile& received, const End&, bool is_final) {
    if (is_final) throw_errno("a hand-over that a hub can't take", EPROTO);
    const uint64_t version = folder_.publish(received);
    connection.payload_bytes = serving->payload_bytes();
    const uint64_t came =
        connection.payload_bytes - std::exchange(told_bytes, connection.payload_bytes);
    if (version > 0 && events_.published)
      events_.published(received.name, version, received.file.size_bytes(), came);
  };
  Receiver receiver(*connection.stream, lent.folder, std::move(events),
                    after(settings_.greeting_limit), Receiver::kStallLimit, {.heard = hello});
  serving = &receiver;
  receiver.serve();
}

void Hub::serve_receiver(Connection& connection, const Hello& hello) {
  const Peer& peer = connection.peer;
  const Forwarder* serving = nullptr;
  ForwarderEvents events;
  events.may_read = [&](const std::string& name) {
    return !policy_.may_read || policy_.may_read(peer, name);
  };
  events.delivered = [&](const std::string& name, uint64_t version) {
    connection.payload_bytes = serving->payload_bytes();
    if (events_.delivered) events_.delivered(peer, name, version);
  };
  Forwarder forwarder(*connection.stream, folder_, peer.title, settings_.forwarder,
                      std::move(events), hello, after(settings_.greeting_limit));
  serving = &forwarder;
  forwarder.serve();
}

void Hub::serve_observer(Stream& stream, const Hello& hello) const {
  const Deadline deadline = after(settings_.greeting_limit);
  FrameStream frames(stream, Role::source);
  frames.greet_back(hello, deadline);
  const std::string text = status();
  for (size_t at = 0; at < text.size(); at += kBlockBytesMax)
    frames.send(Kind::status, 0,
                std::as_bytes(std::span(text).subspan(
                    at, std::min<size_t>(kBlockBytesMax, text.size() - at))));
  frames.send(Kind::settled, 0, {});
  frames.flush(deadline);
  while (frames.wait(deadline)) frames.next(deadline);  // until it has read all of it
}

std::string Hub::status() const {
  nlohmann::json files = nlohmann::json::array(), peers = nlohmann::json::array();
  for (const auto& file : folder_.published_from(0)) {
    if (!file || !folder_.is_current(*file)) continue;
    nlohmann::json receivers = nlohmann::json::array();
    for (const Holding& one : file->holdings())
      receivers.push_back(
          {{"peer", one.receiver}, {"version", one.version}, {"missing_B", one.missing_bytes}});
    files.push_back({{"name", file->name},
                     {"version", file->number()},
                     {"size_B", file->size_bytes()},
                     {"block_B", file->block_bytes},
                     {"is_pushed", folder_.is_lent(file->name)},
                     {"receivers", std::move(receivers)}});
  }
  const MutexLock lock(mutex_);
  for (const Connection& one : connections_) {
    const auto role = static_cast<Role>(one.role.load(std::memory_order_acquire));
    if (one.has_ended || (role != Role::source && role != Role::receiver)) continue;
    peers.push_back({{"peer", one.peer.title},
                     {"identity", one.peer.identity.common_name},
                     {"role", word_of(role)},
                     {"payload_B", one.payload_bytes.load()}});
  }
  return nlohmann::json{{"files", std::move(files)}, {"peers", std::move(peers)}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace memsync::mmap_push
