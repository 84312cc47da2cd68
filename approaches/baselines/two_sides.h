// Both sides of a baseline in one process, over UNIX sockets of a folder of their own, or over
// loopback for approaches that need addresses. For tests.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "approaches/registry.h"
#include "lib/backend/stores.h"
#include "lib/os/error.h"

namespace memsync {

void register_baselines(std::vector<const SyncStrategy*>& strategies);

namespace baselines {

class TwoSides {
 public:
  static constexpr uint64_t kSeed = 5;

  enum class Wire : uint8_t { unix_sockets, loopback };

  TwoSides(std::string_view name, uint64_t size, std::map<std::string, std::string> given = {},
           Wire wire = Wire::unix_sockets)
      : strategy_(named(name)),
        size_(size),
        options_(strategy_.info().options, std::move(given)),
        folder_(make_folder()),
        source_network_(make_network("source", folder_, wire)),
        destination_network_(make_network("destination0", folder_, wire)) {}
  ~TwoSides() {
    destination.reset();
    source.reset();
    std::filesystem::remove_all(folder_);
  }

  static const SyncStrategy& named(std::string_view name) {
    static const auto kAll = [] {
      std::vector<const SyncStrategy*> all;
      register_baselines(all);
      return all;
    }();
    for (const SyncStrategy* strategy : kAll)
      if (strategy->info().name == name) return *strategy;
    throw std::invalid_argument(std::string(name));
  }

  // Of this process alone (the whole of 127/8 is loopback), so that a service's fixed port is free.
  static std::string loopback_address() {
    const auto pid = static_cast<uint32_t>(::getpid());
    return "127." + std::to_string(64 + (pid >> 16) % 64) + "." + std::to_string(pid >> 8 & 255) +
           "." + std::to_string(pid & 255);
  }

  void open_source(std::unique_ptr<Reader> failing = nullptr) {
    SideSetup setup = setup_of(*source_network_);
    if (failing) {
      setup.store = std::make_unique<ReadOnlyStore>(std::move(failing));
    } else {
      fill_content(ContentKind::random, kSeed, setup.store->mapping(), 0);
    }
    source = strategy_.open_source(std::move(setup));
  }
  void open_destination() {
    SideSetup setup = setup_of(*destination_network_);
    setup.open_copy = [this]() -> std::unique_ptr<Reader> {
      if (options_.backend() == "pattern")
        return std::make_unique<PatternReader>(ContentKind::random, kSeed, size_);
      auto memory = std::make_unique<MemoryBackend>(size_);
      fill_content(ContentKind::random, kSeed, memory->mapping(), 0);
      return memory;
    };
    destination = strategy_.open_destination(std::move(setup));
  }
  void open() {
    open_source();
    open_destination();
  }

  std::vector<std::byte> expected() const {
    std::vector<std::byte> bytes(size_);
    fill_content(ContentKind::random, kSeed, bytes, 0);
    return bytes;
  }

  std::unique_ptr<Side> source, destination;

 private:
  static std::string make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "memsync-sides-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_errno("making " + name);
    return name;
  }
  static std::unique_ptr<Network> make_network(const std::string& self, const std::string& folder,
                                               Wire wire) {
    if (wire == Wire::unix_sockets) return make_unix_network(self, folder);
    const std::string address = loopback_address();
    return make_tcp_network(self, {{"source", address}, {"destination0", address}});
  }
  SideSetup setup_of(Network& network) const {
    SideSetup setup;
    setup.geometry = {.size_bytes = size_, .chunk_bytes = 4096};
    setup.options = &options_;
    setup.network = &network;
    setup.transport = &native_transport();
    setup.store = std::make_unique<MemoryBackend>(size_);
    return setup;
  }

  const SyncStrategy& strategy_;
  const uint64_t size_;
  const Options options_;
  const std::string folder_;
  const std::unique_ptr<Network> source_network_, destination_network_;
};

}  // namespace baselines
}  // namespace memsync
