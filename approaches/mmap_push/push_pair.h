// A sender and a receiver in one process, over UNIX sockets of a folder of their own. For tests.
#pragma once

#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "approaches/mmap_push/receiver.h"
#include "approaches/mmap_push/sender.h"
#include "lib/os/error.h"
#include "lib/region/content.h"
#include "lib/transport/network.h"

namespace memsync::mmap_push {

using Bytes = std::vector<std::byte>;

inline Bytes seeded(uint64_t size, uint64_t seed) {
  Bytes bytes(size);
  fill_content(ContentKind::random, seed, bytes, 0);
  return bytes;
}

// Bytes whose changes the test tells; `keeps`: remembers what the receiver holds.
class TestSource : public Source {
 public:
  explicit TestSource(Bytes bytes_, bool keeps = false) : bytes(std::move(bytes_)), keeps_(keeps) {}
  void write(uint64_t offset, const Bytes& what) {
    std::copy(what.begin(), what.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    for (uint64_t at = offset / kBlock; at * kBlock < offset + what.size(); ++at) dirty_.insert(at);
  }
  std::optional<uint64_t> refresh() override {
    if (is_gone) return std::nullopt;
    if (size_ != bytes.size()) is_new_ = true;
    return size_ = bytes.size();
  }
  std::vector<ChunkIndex> changed() override {
    if (on_changed) on_changed();
    if (is_new_)
      for (uint64_t block = 0; block * kBlock < size_; ++block) dirty_.insert(block);
    is_new_ = false;
    std::vector<ChunkIndex> all;
    while (!dirty_.empty() && *dirty_.begin() * kBlock < size_)
      all.push_back(dirty_.extract(dirty_.begin()).value());
    dirty_.clear();  // behind the end: refresh() will see another length
    return all;
  }
  bool copy(std::span<std::byte> into, uint64_t offset) override {
    if (on_copy) on_copy(offset);
    if (offset + into.size() > bytes.size()) return false;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return true;
  }
  void note_held(ChunkIndex block, std::span<const std::byte> what) override {
    if (keeps_) held_[block].assign(what.begin(), what.end());
  }
  std::span<const std::byte> held(ChunkIndex block) const override {
    const auto found = held_.find(block);
    return found == held_.end() ? std::span<const std::byte>{} : std::span(found->second);
  }

  static constexpr uint64_t kBlock = 4096;
  Bytes bytes;
  bool is_gone = false;
  std::function<void()> on_changed;
  std::function<void(uint64_t offset)> on_copy;

 private:
  const bool keeps_;
  bool is_new_ = true;
  uint64_t size_ = 0;
  std::set<uint64_t> dirty_;
  std::map<uint64_t, Bytes> held_;
};

class PushPair {
 public:
  static constexpr Nanoseconds kPatience = std::chrono::seconds(20);

  using Wrap = std::function<std::unique_ptr<Network>(std::unique_ptr<Network>)>;

  // `wrap`: what puts the networks inside something else.
  explicit PushPair(Publish publish = Publish::versions, SenderSettings settings = {},
                    const Wrap& wrap = std::identity())
      : settings_(settings),
        folder_(make_folder()),
        listening_(wrap(make_unix_network("receiver", folder_))),
        dialling_(wrap(make_unix_network("source", folder_))),
        listener_(listening_->listen("push")) {
    std::filesystem::create_directory(inbox());
    received_ = std::make_unique<ReceivedFolder>(inbox(), publish, Durable::off);
  }
  ~PushPair() {
    disconnect();
    std::filesystem::remove_all(folder_);
  }

  // A new connection; what the receiver's folder holds stays.
  Sender& connect(ReceiverEvents events = {}) {
    disconnect();
    auto dialled = std::async(std::launch::async, [this] {
      return dialling_->connect("receiver", "push", after(kPatience));
    });
    accepted_ = listener_->accept(after(kPatience));
    serving_ = std::async(std::launch::async, [this, events = std::move(events)] {
      receiver = std::make_unique<Receiver>(*accepted_, *received_, events, after(kPatience));
      receiver->serve();
    });
    dialled_ = dialled.get();
    sender_ = std::make_unique<Sender>(*dialled_, settings_, after(kPatience));
    return *sender_;
  }
  // Both ends of the connection are gone. Returns what the receiver threw, "" for nothing.
  std::string disconnect() {
    if (dialled_) dialled_->shut_down();
    std::string failure;
    if (serving_.valid()) {
      try {
        serving_.get();
      } catch (const std::exception& problem) {
        failure = problem.what();
      }
    }
    sender_.reset();
    receiver.reset();
    dialled_.reset();
    accepted_.reset();
    return failure;
  }
  // The receiver's process starts anew: it knows what its folder holds and nothing else.
  void restart_receiver(Publish publish = Publish::versions) {
    disconnect();
    received_.reset();
    received_ = std::make_unique<ReceivedFolder>(inbox(), publish, Durable::off);
  }
  SyncReport sync(const WriterControl& writer = {}) {
    return sender_->sync(writer, after(kPatience));
  }
  Stream& dialled() { return *dialled_; }

  std::string inbox() const { return folder_ + "/inbox"; }
  std::string path(const std::string& name) const { return inbox() + "/" + name; }
  Bytes contents(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }

  std::unique_ptr<Receiver> receiver;

 private:
  static std::string make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "memsync-push-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_errno("making " + name);
    return name;
  }

  const SenderSettings settings_;
  const std::string folder_;
  const std::unique_ptr<Network> listening_, dialling_;
  const std::unique_ptr<Listener> listener_;
  std::unique_ptr<ReceivedFolder> received_;
  std::unique_ptr<Stream> dialled_, accepted_;
  std::future<void> serving_;
  std::unique_ptr<Sender> sender_;
};

}  // namespace memsync::mmap_push
