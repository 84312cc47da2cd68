// How fast a region is readable at the destination, beside the plain copy, over loopback TCP.
//
// Both sides are processes of their own. One round runs each variant once, so that what else the
// machine does hits all of them; the figure is the ratio within a round. Run it with
//   pull_benchmark [bytes, default 256 MiB] [rounds, default 9]
// Prints one line per variant: median time, bytes per second, median ratio to tcp_copy.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <memory>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "approaches/registry.h"
#include "lib/backend/stores.h"
#include "lib/os/error.h"
#include "lib/region/digest.h"

namespace memsync {
namespace {

constexpr uint64_t kSeed = 1;

struct Variant {
  std::string label;
  std::string approach;
  std::map<std::string, std::string> options;
  bool random = false;  // touch the units in random order
  std::vector<double> durations;
};

const std::map<std::string, std::string> kAddresses{{"source", "127.0.0.1"},
                                                    {"destination0", "127.0.0.1"}};

SideSetup setup(uint64_t size, Network& network, const Options& options) {
  SideSetup result;
  result.geometry = {.size_bytes = size, .chunk_bytes = 4096};
  result.network = &network;
  result.transport = &native_transport();
  result.options = &options;
  return result;
}

// A child that has opened the source when this returns.
pid_t start_source(const SyncStrategy& strategy, const Options& options, const Mapping& content) {
  int ready[2];
  check(::pipe(ready), "pipe");
  const pid_t child = check(::fork(), "fork");
  if (child == 0) {
    const auto network = make_tcp_network("source", kAddresses);
    SideSetup source = setup(content.bytes().size(), *network, options);
    auto store = std::make_unique<MemoryBackend>(Mapping::anonymous(content.bytes().size()));
    std::copy(content.bytes().begin(), content.bytes().end(), store->mapping().begin());
    source.store = std::move(store);
    const auto side = strategy.open_source(std::move(source));
    write_all(ready[1], "x", 1, "pipe");
    for (;;) ::pause();
  }
  char byte;
  read_all(ready[0], &byte, 1, "waiting for the source");
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

// The bytes again, for a destination that needs no source; null where it asks one.
std::unique_ptr<Reader> make_copy(const Options& options, const Mapping& content) {
  if (options.backend() == "peer") return nullptr;
  const uint64_t size = content.bytes().size();
  if (options.backend() == "pattern")
    return std::make_unique<PatternReader>(ContentKind::random, kSeed, size);
  auto copy = std::make_unique<MemoryBackend>(size);
  copy->write_at(content.bytes(), 0);
  return copy;
}

// Seconds from opening to the last access, each page read once.
double pull(const Variant& variant, const Mapping& content, const Digest& expected) {
  const SyncStrategy& strategy = *find_strategy(variant.approach);
  const Options options(strategy.info().options, variant.options);
  const uint64_t size = content.bytes().size();
  const pid_t source = start_source(strategy, options, content);
  const auto network = make_tcp_network("destination0", kAddresses);
  SideSetup destination = setup(size, *network, options);
  // Warm pages: a guest's first touch of host memory would be measured otherwise.
  {
    const Mapping warm = Mapping::anonymous(size, Population::at_once);
  }
  destination.store = std::make_unique<MemoryBackend>(size);
  auto copy = make_copy(options, content);
  if (copy) destination.open_copy = [&copy] { return std::move(copy); };
  const auto start = Clock::now();
  const auto side = strategy.open_destination(std::move(destination));
  const auto memory = side->region().memory;
  uint64_t sum = 0;
  SeededDraws draws(1);
  const uint64_t pages = size / 4096;
  for (uint64_t i = 0; i < pages; ++i) {
    const uint64_t page = variant.random ? draws.below(pages) : i;
    const auto* words = reinterpret_cast<const volatile uint64_t*>(&memory[page * 4096]);
    for (size_t word = 0; word < 4096 / 8; word += 8) sum += words[word];
  }
  const double duration = seconds(Clock::now() - start);
  static_cast<void>(sum);
  if (digest_of(memory) != expected) throw_errno(variant.label + ": wrong bytes", EIO);
  const Statistics statistics = side->statistics();
  if (std::getenv("VERBOSE") != nullptr)
    fmt::print("  {:24} {:8.3f} s, faults {}, received {}, window {}\n", variant.label, duration,
               statistics.faults.value_or(0), statistics.payload_received.value_or(0),
               statistics.window_bytes.value_or(0));
  ::kill(source, SIGKILL);
  ::waitpid(source, nullptr, 0);
  return duration;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(uint64_t size, int rounds) {
  std::vector<Variant> variants{
      {"tcp_copy", "tcp_copy", {}, false, {}},
      {"userfaultfd", "userfaultfd", {}, false, {}},
      {"userfaultfd unit=256KiB", "userfaultfd", {{"unit", "256KiB"}}, false, {}},
      {"demand-only 64KiB", "userfaultfd", {{"prefetch", "none"}}, false, {}},
      {"demand-only 1MiB", "userfaultfd", {{"prefetch", "none"}, {"unit", "1MiB"}}, false, {}},
      {"demand-only 4KiB", "userfaultfd", {{"prefetch", "none"}, {"unit", "4KiB"}}, false, {}},
      {"local", "userfaultfd", {{"backend", "local"}}, false, {}},
      {"local demand-only 4KiB",
       "userfaultfd",
       {{"prefetch", "none"}, {"unit", "4KiB"}, {"backend", "local"}},
       false,
       {}},
      {"pattern", "userfaultfd", {{"backend", "pattern"}}, false, {}},
  };
  Mapping content = Mapping::anonymous(size);
  fill_content(ContentKind::random, kSeed, content.bytes(), 0);
  const Digest expected = digest_of(content.bytes());
  for (int round = 0; round < rounds; ++round)
    for (Variant& variant : variants) variant.durations.push_back(pull(variant, content, expected));
  for (const Variant& variant : variants) {
    std::vector<double> ratios;
    for (size_t i = 0; i < variant.durations.size(); ++i)
      ratios.push_back(variants[0].durations[i] / variant.durations[i]);
    const double typical = median(variant.durations);
    fmt::print("{:24} n={} {:7.3f} s {:7.0f} MB/s  {:.2f} of tcp_copy (min {:.2f}, max {:.2f})\n",
               variant.label, rounds, typical, static_cast<double>(size) / typical / 1e6,
               median(ratios), *std::min_element(ratios.begin(), ratios.end()),
               *std::max_element(ratios.begin(), ratios.end()));
  }
  return 0;
}

}  // namespace
}  // namespace memsync

int main(int argc, char** argv) {
  try {
    return memsync::run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 256 << 20,
                        argc > 2 ? std::atoi(argv[2]) : 9);
  } catch (const std::exception& problem) {
    fmt::print(stderr, "pull_benchmark: {}\n", problem.what());
    return 70;
  }
}
