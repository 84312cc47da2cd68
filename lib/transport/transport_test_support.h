// What the transport's tests share: networks, a sink that counts, a session of both ends.
#pragma once

#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "lib/backend/stores.h"
#include "lib/os/mutex.h"
#include "lib/region/content.h"
#include "lib/transport/local_region.h"
#include "lib/transport/native/native_transport.h"

namespace memsync::test {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline Deadline soon() {
  return after(seconds(20));
}

// A directory that goes with its object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "memsync-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Counts completions per tag and lets tests wait for them.
class CountingSink : public CompletionSink {
 public:
  void completed(std::span<Completion> done) noexcept override {
    MutexLock lock(mutex_);
    for (auto& completion : done) {
      order_.push_back(completion.tag);
      done_[completion.tag].push_back(std::move(completion));
    }
    count_ += done.size();
    changed_.notify_all();
  }
  // Whether `count` completions came in time.
  bool wait_for(size_t count, Deadline deadline = soon()) {
    MutexLock lock(mutex_);
    while (count_ < count)
      if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) return false;
    return true;
  }
  size_t count() {
    MutexLock lock(mutex_);
    return count_;
  }
  std::vector<uint64_t> order() {
    MutexLock lock(mutex_);
    return order_;
  }
  std::error_code error(uint64_t tag) {
    MutexLock lock(mutex_);
    return done_.at(tag).front().error;
  }
  std::vector<std::byte> reply(uint64_t tag) {
    MutexLock lock(mutex_);
    return done_.at(tag).front().reply;
  }
  // How many tags completed with `error`, and whether none completed twice.
  size_t count_of(std::error_code error) {
    MutexLock lock(mutex_);
    size_t count = 0;
    for (const auto& [tag, list] : done_) count += list.front().error == error ? 1 : 0;
    return count;
  }
  bool each_once() {
    MutexLock lock(mutex_);
    for (const auto& [tag, list] : done_)
      if (list.size() != 1) return false;
    return true;
  }

 private:
  Mutex mutex_;
  Condition changed_;
  size_t count_ GUARDED_BY(mutex_) = 0;
  std::vector<uint64_t> order_ GUARDED_BY(mutex_);
  std::map<uint64_t, std::vector<Completion>> done_ GUARDED_BY(mutex_);
};

inline std::error_code posix(int value) {
  return {value, std::generic_category()};
}

inline std::vector<std::byte> content(uint64_t seed, uint64_t offset, size_t bytes) {
  std::vector<std::byte> made(bytes);
  fill_content(ContentKind::random, seed, made, offset);
  return made;
}

// The last two: for put_inside_tls() of tls/tls_test_support.h.
enum class Wire : uint8_t { tcp, unix_socket, tls_tcp, tls_unix };

inline std::string name_of(Wire wire) {
  constexpr const char* kNames[] = {"tcp", "unix", "tls_tcp", "tls_unix"};
  return kNames[static_cast<size_t>(wire)];
}

// An address of this process alone (all of 127/8 is loopback), so that test programs which run at
// the same time don't take each other's ports.
inline std::string own_loopback_address() {
  const auto pid = static_cast<unsigned>(::getpid());
  return "127." + std::to_string(1 + (pid >> 16) % 250) + "." + std::to_string((pid >> 8) % 256) +
         "." + std::to_string(pid % 256);
}

// A network whose hosts "source" and "destination0" are both this process.
class Loopback {
 public:
  explicit Loopback(Wire wire)
      : network(wire == Wire::tcp || wire == Wire::tls_tcp
                    ? make_tcp_network("source", {{"source", own_loopback_address()},
                                                  {"destination0", own_loopback_address()}})
                    : make_unix_network("source", directory.path())) {}
  TemporaryDirectory directory;
  std::unique_ptr<Network> network;
};

}  // namespace memsync::test
