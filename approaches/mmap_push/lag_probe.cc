// How long a store at the source takes to be visible at the destination, and what a round costs
// while nobody writes: by interval, region and detector. Both sides in one process, so on one
// clock.
//
// One thread stores the next number into another chunk, each time at another phase of the interval,
// and looks at the destination's memory until the number is there.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fmt/core.h>
#include <thread>

#include "approaches/registry.h"
#include "lib/backend/stores.h"
#include "lib/os/temporary_folder.h"

namespace memsync {
namespace {

using std::chrono::milliseconds;

constexpr unsigned kStamps = 200;
constexpr auto kIdle = std::chrono::seconds(1);

double process_cpu_s() {
  timespec spent{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) * 1e-9;
}

struct Sides {
  Sides(uint64_t region_bytes, const std::map<std::string, std::string>& given)
      : strategy(*find_strategy("mmap_push")),
        options(strategy.info().options, given),
        folder(TemporaryFolder::make(std::filesystem::temp_directory_path().string())),
        source_network(make_unix_network("source", folder.path())),
        destination_network(make_unix_network("destination0", folder.path())) {
    source = strategy.open_source(setup(*source_network, region_bytes));
    destination = strategy.open_destination(setup(*destination_network, region_bytes));
  }
  SideSetup setup(Network& network, uint64_t region_bytes) const {
    SideSetup made;
    made.geometry = {.size_bytes = region_bytes, .chunk_bytes = 4096};
    made.options = &options;
    made.network = &network;
    made.transport = &native_transport();
    made.store = std::make_unique<MemoryBackend>(region_bytes);
    return made;
  }

  const SyncStrategy& strategy;
  const Options options;
  const TemporaryFolder folder;
  const std::unique_ptr<Network> source_network, destination_network;
  std::unique_ptr<Side> source, destination;
};

// Each stamp is written at another phase of the interval.
std::vector<double> lags_ms(Sides& sides, Nanoseconds interval) {
  auto* written = reinterpret_cast<uint64_t*>(sides.source->region().memory.data());
  const auto* seen = reinterpret_cast<const uint64_t*>(sides.destination->region().memory.data());
  const uint64_t chunks = sides.source->region().memory.size() / 4096;
  std::vector<double> lags;
  for (uint64_t stamp = 1; stamp <= kStamps; ++stamp) {
    const uint64_t word = (stamp * 7919 % chunks) * 512;
    sleep_until_deadline(after(interval * static_cast<int64_t>(stamp * 37 % 100) / 100));
    const Deadline before = Clock::now();
    std::atomic_ref(written[word]).store(stamp);
    while (std::atomic_ref(const_cast<uint64_t&>(seen[word])).load() != stamp)
      std::this_thread::yield();
    lags.push_back(seconds(Clock::now() - before) * 1e3);
  }
  std::ranges::sort(lags);
  return lags;
}

void probe(const std::string& detect, uint64_t region_bytes, milliseconds interval) {
  Sides sides(region_bytes,
              {{"detect", detect}, {"interval", fmt::format("{}ms", interval.count())}});
  const double before = process_cpu_s();
  sleep_until_deadline(after(kIdle));
  const double idle = process_cpu_s() - before;
  const auto lags = lags_ms(sides, interval);
  fmt::print(
      "{:7} {:5} MiB  every {:4} ms   lag p50 {:8.3f}  p99 {:8.3f} ms   idle {:6.2f} % of a CPU\n",
      detect, region_bytes >> 20, interval.count(), lags[lags.size() / 2],
      lags[lags.size() * 99 / 100], idle * 100);
  std::fflush(stdout);
  sides.source->rethrow_failure();
}

}  // namespace
}  // namespace memsync

int main() {
  for (const char* detect : {"scan", "hash"})
    for (const uint64_t region : {16ULL << 20, 256ULL << 20, 1ULL << 30})
      for (const int interval : {1, 10, 100})
        memsync::probe(detect, region, std::chrono::milliseconds(interval));
  return 0;
}
