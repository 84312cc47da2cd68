// A hub with pushers and receivers in one process, over UNIX sockets. For tests.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "approaches/mmap_push/hub/hub.h"
#include "approaches/mmap_push/raw_peer.h"

namespace memsync::mmap_push {

// What happened, for a test to wait for. Threads: any.
class Happened {
 public:
  void note(const std::string& what) {
    const MutexLock lock(mutex_);
    ++times_[what];
    changed_.notify_all();
  }
  // False: it has not happened so often within a test's patience.
  bool wait_for(const std::string& what, unsigned times = 1) {
    const Deadline deadline = after(PushPair::kPatience);
    const MutexLock lock(mutex_);
    while (times_[what] < times)
      if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) return false;
    return true;
  }
  unsigned times(const std::string& what) {
    const MutexLock lock(mutex_);
    return times_[what];
  }

 private:
  Mutex mutex_;
  Condition changed_;
  std::map<std::string, unsigned> times_ GUARDED_BY(mutex_);
};

// A receiver that dials the hub, and its folder.
class HubReceiver {
 public:
  explicit HubReceiver(Network& network)
      : folder_(TemporaryFolder::make(kMemoryFolder)), network_(network) {
    received_ = std::make_unique<ReceivedFolder>(folder_.path(), Publish::versions, Durable::off);
  }
  ~HubReceiver() { disconnect(); }
  HubReceiver(const HubReceiver&) = delete;
  HubReceiver& operator=(const HubReceiver&) = delete;

  void connect() {
    stream_ = network_.connect("hub", "hub", after(PushPair::kPatience));
    serving_ = std::jthread([this] {
      const Ending ending = ending_of([this] {
        ReceiverEvents events;
        events.published = [this](ReceivedFile& file, const End&, bool) {
          happened.note(file.name);
        };
        events.settled = [this] { happened.note("settled"); };
        Receiver receiver(*stream_, *received_, events, after(PushPair::kPatience),
                          PushPair::kPatience, {.may_be_hub = true});
        serving = &receiver;
        try {
          receiver.serve();
        } catch (...) {
          payload_bytes = receiver.payload_bytes();
          throw;
        }
        payload_bytes = receiver.payload_bytes();
      });
      text = ending.text;
      happened.note("ended");
    });
  }
  // Returns what the receiver threw, "" for nothing; afterwards payload_bytes is the connection's.
  std::string disconnect() {
    if (!stream_) return "";
    stream_->shut_down();
    serving_.join();
    stream_.reset();
    return text;
  }
  // Its process starts anew: it knows what its folder holds and nothing else.
  void restart() {
    disconnect();
    received_.reset();
    received_ = std::make_unique<ReceivedFolder>(folder_.path(), Publish::versions, Durable::off);
  }
  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  Bytes contents(const std::string& name) const { return file_bytes(path(name)); }

  Happened happened;  // names of files that were published, "settled", "ended"
  uint64_t payload_bytes = 0;
  std::string text;

 private:
  const TemporaryFolder folder_;
  Network& network_;
  std::unique_ptr<ReceivedFolder> received_;
  std::unique_ptr<Stream> stream_;
  const Receiver* serving = nullptr;
  std::jthread serving_;
};

// A pusher of one file over a connection of its own.
class HubPusher {
 public:
  HubPusher(Network& network, const std::string& name, Bytes bytes, SenderSettings settings = {})
      : source(std::move(bytes)),
        stream_(network.connect("hub", "hub", after(PushPair::kPatience))),
        sender_(*stream_, settings, after(PushPair::kPatience)) {
    sender_.offer(name, source, after(PushPair::kPatience));
  }
  SyncReport sync() { return sender_.sync({}, after(PushPair::kPatience)); }
  // Both ends read everything again.
  SyncReport verify() {
    sender_.offer_anew(after(PushPair::kPatience));
    return sync();
  }
  uint64_t bytes_sent() const { return stream_->bytes_written(); }

  TestSource source;

 private:
  const std::unique_ptr<Stream> stream_;
  Sender sender_;
};

class RunningHub {
 public:
  explicit RunningHub(HubSettings settings = {}, HubPolicy policy = {})
      : place_(TemporaryFolder::make(kMemoryFolder)),
        settings_(std::move(settings)),
        policy_(std::move(policy)) {
    settings_.folder = place_.path() + "/hub";
    std::filesystem::create_directory(settings_.folder);
    listening_ = make_unix_network("hub", place_.path());
    network_ = make_unix_network("elsewhere", place_.path());
    start();
  }
  ~RunningHub() { stop(); }
  RunningHub(const RunningHub&) = delete;
  RunningHub& operator=(const RunningHub&) = delete;

  void start() {
    HubEvents events;
    events.told = [this](const std::string& sentence) {
      const MutexLock lock(mutex_);
      told_ += sentence + "\n";
    };
    events.published = [this](const std::string& name, uint64_t, uint64_t, uint64_t) {
      happened.note("published " + name);
    };
    events.delivered = [this](const Peer&, const std::string& name, uint64_t version) {
      happened.note("delivered " + name);
      happened.note("delivered " + name + " " + std::to_string(version));
    };
    events.ended = [this](const Peer& peer) { happened.note("ended " + peer.title); };
    hub_ = std::make_unique<Hub>(settings_, policy_, events);
    hub_->load([](const std::string&) { return true; });
    listener_ = listening_->listen("hub");
    running_ = std::jthread([this](const std::stop_token& stop) { hub_->run(*listener_, stop); });
  }
  // What its folder holds stays.
  void stop() {
    running_.request_stop();
    if (running_.joinable()) running_.join();
    listener_.reset();
    hub_.reset();
  }

  Network& network() { return *network_; }
  Hub& hub() { return *hub_; }
  std::string path(const std::string& name) const { return settings_.folder + "/" + name; }
  std::string told() {
    const MutexLock lock(mutex_);
    return told_;
  }

  Happened
      happened;  // "published NAME", "delivered NAME", "delivered NAME VERSION", "ended peer N"

 private:
  const TemporaryFolder place_;
  HubSettings settings_;
  const HubPolicy policy_;
  std::unique_ptr<Network> listening_, network_;
  std::unique_ptr<Hub> hub_;
  std::unique_ptr<Listener> listener_;
  Mutex mutex_;
  std::string told_ GUARDED_BY(mutex_);
  std::jthread running_;
};

}  // namespace memsync::mmap_push
