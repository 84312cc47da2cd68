// A source and a destination over the native transport and UNIX sockets, in one process. For tests.
#pragma once

#include <atomic>
#include <filesystem>
#include <gtest/gtest.h>

#include "approaches/registry.h"
#include "lib/backend/stores.h"
#include "lib/os/error.h"
#include "lib/os/temporary_folder.h"
#include "lib/region/digest.h"

namespace memsync {
void register_userfaultfd(std::vector<const SyncStrategy*>& strategies);
namespace userfaultfd {

inline constexpr uint64_t kSeed = 21;
inline constexpr uint64_t kMiB = 1 << 20;

inline const SyncStrategy& strategy() {
  static const auto kAll = [] {
    std::vector<const SyncStrategy*> all;
    register_userfaultfd(all);
    return all;
  }();
  return *kAll.front();
}

// A store whose bytes are computed when they are read: a reader, where a side wants a store.
class PatternStore : public Backend {
 public:
  explicit PatternStore(uint64_t size) : reader_(ContentKind::random, kSeed, size) {}
  void read_at(std::span<std::byte> into, uint64_t offset) override {
    reader_.read_at(into, offset);
  }
  void write_at(std::span<const std::byte>, uint64_t) override {
    throw_errno("writing a pattern", EROFS);
  }
  uint64_t size_bytes() const override { return reader_.size_bytes(); }
  void sync() override {}

 private:
  PatternReader reader_;
};

// Hosts in one directory of UNIX sockets; each test has its own.
class TwoHosts : public testing::Test {
 protected:
  TwoHosts()
      : source_network_(make_unix_network("source", folder_.path())),
        destination_network_(make_unix_network("destination0", folder_.path())) {}
  ~TwoHosts() override {
    destination_.reset();
    source_.reset();
  }

  SideSetup setup(uint64_t size, Network& network) const {
    SideSetup result;
    result.geometry = {.size_bytes = size, .chunk_bytes = 4096};
    result.region.id[0] = std::byte{42};
    result.region.epoch = 3;
    result.network = &network;
    result.transport = &native_transport();
    return result;
  }
  void open(std::unique_ptr<Backend> store, std::map<std::string, std::string> options = {}) {
    const uint64_t size = store->size_bytes();
    options_.emplace(strategy().info().options, std::move(options));
    SideSetup source = setup(size, *source_network_);
    source.store = std::move(store);
    source.suspend_app = [this] {
      if (last_writes_) last_writes_();
      suspended_ = true;
    };
    source.resume_app = [this] { suspended_ = false; };
    source.options = &*options_;
    source_ = strategy().open_source(std::move(source));
    SideSetup destination = setup(size, *destination_network_);
    destination.store = std::make_unique<MemoryBackend>(size);
    destination.options = &*options_;
    destination.resume_app = [this] { resumed_ = true; };
    destination_ = strategy().open_destination(std::move(destination));
  }
  void open_filled(uint64_t size, std::map<std::string, std::string> options = {}) {
    auto store = std::make_unique<MemoryBackend>(size);
    fill_content(ContentKind::random, kSeed, store->mapping(), 0);
    open(std::move(store), std::move(options));
  }
  static Digest digest_of_pattern(uint64_t size) {
    std::vector<std::byte> expected(size);
    fill_content(ContentKind::random, kSeed, expected, 0);
    return digest_of(expected);
  }
  static std::byte expected_at(uint64_t offset) {
    std::byte value;
    fill_content(ContentKind::random, kSeed, {&value, 1}, offset);
    return value;
  }

  const TemporaryFolder folder_ = TemporaryFolder::make(std::filesystem::temp_directory_path());
  const std::unique_ptr<Network> source_network_;
  const std::unique_ptr<Network> destination_network_;
  std::optional<Options> options_;
  std::function<void()> last_writes_;  // what the source's application does before it stops
  std::atomic<bool> suspended_{false};
  std::atomic<bool> resumed_{false};
  std::unique_ptr<Side> source_;
  std::unique_ptr<Side> destination_;
};

}  // namespace userfaultfd
}  // namespace memsync
