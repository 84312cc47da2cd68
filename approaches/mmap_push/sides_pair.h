// Both sides of the approach in one process, for tests.
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>

#include "approaches/mmap_push/sides.h"
#include "lib/backend/stores.h"
#include "lib/os/temporary_folder.h"
#include "lib/region/digest.h"

namespace memsync {
void register_mmap_push(std::vector<const SyncStrategy*>& strategies);
namespace mmap_push {

using namespace std::chrono_literals;
using Given = std::map<std::string, std::string>;

inline constexpr uint64_t kSeed = 5;
inline constexpr uint64_t kMiB = 1 << 20;
inline constexpr auto kPatience = 20s;

inline const SyncStrategy& strategy() {
  static const SyncStrategy* const kOurs = [] {
    std::vector<const SyncStrategy*> all;
    register_mmap_push(all);
    return all.at(0);
  }();
  return *kOurs;
}
struct Hooks {
  std::function<void()> suspend, resume;
};

class Sides : public testing::Test {
 protected:
  Sides()
      : folder_(TemporaryFolder::make(kMemoryFolder)),
        source_network_(make_unix_network("source", folder_.path())),
        destination_network_(make_unix_network("destination0", folder_.path())) {}

  SideSetup setup(Network& network, const Hooks& hooks, uint64_t size) {
    SideSetup setup;
    setup.geometry = {.size_bytes = size, .chunk_bytes = 4096};
    setup.options = options_.get();
    setup.network = &network;
    setup.store = std::make_unique<MemoryBackend>(size);
    setup.suspend_app = hooks.suspend;
    setup.resume_app = hooks.resume;
    return setup;
  }
  void choose(uint64_t size, const Given& given = {}) {
    size_ = size;
    options_ = std::make_unique<Options>(strategy().info().options, given);
  }
  void open_source(const Hooks& hooks = {}) {
    SideSetup ours = setup(*source_network_, hooks, size_);
    fill_content(ContentKind::random, kSeed, ours.store->mapping(), 0);
    source = strategy().open_source(std::move(ours));
  }
  void open_destination(const Hooks& hooks = {}) {
    destination = strategy().open_destination(setup(*destination_network_, hooks, size_));
  }
  void open(uint64_t size, const Given& given = {}) {
    choose(size, given);
    open_source();
    open_destination();
  }
  // A destination of the test's own, as the source sees it.
  std::unique_ptr<Stream> dial() {
    return destination_network_->connect("source", kServiceName, after(kPatience));
  }
  void expect_equal() const {
    EXPECT_EQ(digest_of(destination->region().memory), digest_of(source->region().memory));
  }
  std::string failure_of(const Side& side) const {
    try {
      side.rethrow_failure();
    } catch (const std::exception& problem) {
      return problem.what();
    }
    return "";
  }

  const TemporaryFolder folder_;
  std::unique_ptr<Network> source_network_, destination_network_;
  uint64_t size_ = 0;
  std::unique_ptr<Options> options_;
  std::unique_ptr<Side> source, destination;
};
// Whether this process could store to it: read(2) into it says EFAULT where it can't.
inline bool is_writable(std::byte& at) {
  const auto [read, write] = FileDescriptor::pipe();
  static_cast<void>(!::write(write.get(), &at, 1));
  return ::read(read.get(), &at, 1) == 1;
}
}  // namespace mmap_push
}  // namespace memsync
