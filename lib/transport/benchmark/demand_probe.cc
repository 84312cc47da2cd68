// How long a demand read waits beside a background pull that fills the link. Two processes, one
// per host (run them in the namespaces of a shaped link):
//   transport_demand_probe serve  ADDRESS [--region BYTES]
//   transport_demand_probe ask    SERVER_ADDRESS [--reads N] [--background BYTES]
// `ask` prints one JSON line: demand p50 and p99 while idle and beside the pull (seconds), the
// background rate (bytes per second), the window and its greatest fill.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <latch>
#include <optional>
#include <semaphore>
#include <string>
#include <vector>

#include "lib/backend/stores.h"
#include "lib/transport/local_region.h"
#include "lib/transport/native/client.h"
#include "lib/transport/native/native_transport.h"

namespace memsync {
namespace {

constexpr uint64_t kPiece = 64U << 10;

struct Setup {
  std::string mode{}, address{};
  uint64_t region = 256ULL << 20;
  size_t reads = 500;
  uint64_t background = 4ULL << 20;  // asked for at a time; more than any product that is tried
};

// Keeps background reads queued in the client, for it alone decides how many are in flight.
class Pull : public CompletionSink {
 public:
  Pull(RegionService& service, const Setup& setup)
      : service_(service), region_(setup.region), into_(setup.background) {}
  void start() {
    running_ = into_.size() / kPiece;
    std::vector<ReadRequest> first;
    for (uint64_t slot = 0; slot < into_.size() / kPiece; ++slot) first.push_back(next(slot));
    service_.start_reads(first, Urgency::background, Deadline::max(), *this);
  }
  void completed(std::span<Completion> done) noexcept override {
    std::vector<ReadRequest> again;
    for (const auto& completion : done) {
      if (completion.error) failed_ = true;
      moved_ += kPiece;
      if (stopping_ || failed_) {
        if (--running_ == 0) stopped_.release();
      } else {
        again.push_back(next(completion.tag));
      }
    }
    service_.start_reads(again, Urgency::background, Deadline::max(), *this);
  }
  void stop() {
    stopping_ = true;
    stopped_.acquire();
  }
  uint64_t moved_bytes() const { return moved_; }

 private:
  ReadRequest next(uint64_t slot) {
    const uint64_t offset = offset_.fetch_add(kPiece) % (region_ / kPiece * kPiece);
    return {offset, std::span(into_).subspan(slot * kPiece, kPiece), slot};
  }

  RegionService& service_;
  const uint64_t region_;
  std::vector<std::byte> into_;
  std::atomic<uint64_t> offset_{0}, moved_{0};
  std::atomic<bool> stopping_{false}, failed_{false};
  std::atomic<size_t> running_{0};
  std::binary_semaphore stopped_{0};
};

// One read at a time, as a faulting thread does it; seconds, sorted.
class Demand : public CompletionSink {
 public:
  void completed(std::span<Completion> done) noexcept override {
    failed_ = failed_ || done.front().error;
    there_.release();
  }
  std::vector<double> measure(RegionService& service, const Setup& setup) {
    std::vector<double> waits;
    SeededDraws draws(3);
    std::vector<std::byte> page(4096);
    for (size_t i = 0; i < setup.reads && !failed_; ++i) {
      const ReadRequest read{draws.below(setup.region / 4096) * 4096, page, i};
      const auto asked = Clock::now();
      service.start_reads({&read, 1}, Urgency::demand, after(std::chrono::seconds(30)), *this);
      there_.acquire();
      waits.push_back(seconds(Clock::now() - asked));
    }
    std::ranges::sort(waits);
    return waits;
  }

 private:
  std::binary_semaphore there_{0};
  bool failed_ = false;
};

double quantile(const std::vector<double>& sorted, double share) {
  return sorted.empty()
             ? 0
             : sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

int serve(const Setup& setup, Network& network, const Geometry& geometry) {
  MemoryBackend memory(setup.region);
  fill_content(ContentKind::random, 1, memory.mapping(), 0);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  LocalRegion region(memory, nullptr, RegionId{}, {});
  const auto served = native_transport().serve(network, "probe", geometry, RegionId{}, region);
  int signal = 0;
  sigwait(&ends, &signal);
  return 0;
}

int ask(const Setup& setup, Network& network, const Geometry& geometry) {
  const auto service = native_transport().connect(network, "server", "probe", geometry, RegionId{},
                                                  after(std::chrono::seconds(20)));
  Demand demand;
  const auto idle = demand.measure(*service, setup);
  Pull pull(*service, setup);
  pull.start();
  demand.measure(*service,
                 {.region = setup.region, .reads = setup.reads / 5});  // the window settles
  const uint64_t before = pull.moved_bytes();
  const auto started = Clock::now();
  const auto busy = demand.measure(*service, setup);
  const double rate =
      static_cast<double>(pull.moved_bytes() - before) / seconds(Clock::now() - started);
  const uint64_t window = dynamic_cast<native::Client&>(*service).window_bytes();
  pull.stop();
  std::printf(
      "{\"reads\": %zu, \"idle_p50_s\": %.6f, \"idle_p99_s\": %.6f, \"demand_p50_s\": %.6f, "
      "\"demand_p99_s\": %.6f, \"background_Bps\": %.0f, \"window_B\": %llu}\n",
      busy.size(), quantile(idle, 0.5), quantile(idle, 0.99), quantile(busy, 0.5),
      quantile(busy, 0.99), rate, static_cast<unsigned long long>(window));
  return busy.size() == setup.reads ? 0 : 70;
}

std::optional<Setup> parse(std::span<char*> arguments) {
  if (arguments.size() < 3 || arguments.size() % 2 == 0) return std::nullopt;
  Setup setup{.mode = arguments[1], .address = arguments[2]};
  for (size_t i = 3; i + 1 < arguments.size(); i += 2) {
    const uint64_t value = std::strtoull(arguments[i + 1], nullptr, 10);
    const std::string_view name = arguments[i];
    if (name == "--region" && value >= kPiece)
      setup.region = value;
    else if (name == "--reads" && value > 0)
      setup.reads = value;
    else if (name == "--background" && value >= kPiece)
      setup.background = value;
    else
      return std::nullopt;
  }
  return setup;
}

}  // namespace
}  // namespace memsync

int main(int count, char** values) {
  using namespace memsync;  // NOLINT(google-build-using-namespace)
  const auto setup = parse({values, static_cast<size_t>(count)});
  if (!setup || (setup->mode != "serve" && setup->mode != "ask")) {
    std::fputs(
        "usage: transport_demand_probe serve|ask ADDRESS [--region BYTES] [--reads N] "
        "[--background BYTES]\n",
        stderr);
    return 64;
  }
  try {
    const Geometry geometry{.size_bytes = setup->region, .chunk_bytes = 4096};
    const auto network = make_tcp_network("server", {{"server", setup->address}});
    return setup->mode == "serve" ? serve(*setup, *network, geometry)
                                  : ask(*setup, *network, geometry);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "transport_demand_probe: %s\n", error.what());
    return 70;
  }
}
