// Figures over an emulated link, each round interleaved: iperf3, tcp_copy, userfaultfd, a lone
// fault, and a demand read beside a background pull.
//
//   build/release/tests/link_figures [ROUNDS [RTT_MS ...]]      needs root and iperf3
//
// Prints per round trip time the median of each and the medians of the pairwise ratios.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <vector>

#include "approaches/registry.h"
#include "lib/backend/stores.h"
#include "lib/os/process.h"
#include "lib/region/content.h"
#include "lib/region/digest.h"
#include "lib/transport/transport.h"
#include "netem/link.h"

namespace memsync {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kBytes = 32U << 20;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::unique_ptr<Link> one_gigabit(Nanoseconds rtt) {
  LinkSetup setup;
  setup.engine = LinkEngine::tun;
  setup.shape.bits_per_second = 1'000'000'000;
  setup.shape.rtt = rtt;
  setup.tun_program = MEMSYNC_LINK_PROGRAM;
  return make_link(setup);
}

// Bytes per second that the receiver saw, connecting not counted (iperf3's own reckoning).
double run_iperf3(const Link& link) {
  ProcessSetup server;
  server.arguments = {"iperf3", "-s", "-1", "-p", "5201"};
  server.network = &link.source();
  const FileDescriptor null = FileDescriptor::open("/dev/null", O_WRONLY);
  server.descriptors = {{null.get(), 1}};
  Process process = Process::start(server);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const auto client = run_tool({"iperf3", "-c", link.source_address(), "-p", "5201", "-R", "-J",
                                  "-n", std::to_string(kBytes)},
                                 "", &link.destination());
    const auto report = nlohmann::json::parse(client.output, nullptr, false);
    if (!report.is_discarded() && report.contains("end") && report["end"].contains("sum_received"))
      return report["end"]["sum_received"]["bits_per_second"].get<double>() / 8;
    sleep_until_deadline(after(20ms));  // the server is not listening yet
  }
  throw std::runtime_error("iperf3 gave no report");
}

// One source and one destination of an approach over the link; the destination reads `accesses`
// pages in order.
struct Pulled {
  double open_s = 0, total_s = 0;
};
Pulled pull(const Link& link, const char* approach, uint64_t accesses) {
  const SyncStrategy* strategy = find_strategy(approach);
  const Options options(strategy->info().options, {});
  const std::map<std::string, std::string> addresses = {
      {"source", link.source_address()}, {"destination0", link.destination_address()}};
  const auto source_network = make_tcp_network("source", addresses);
  const auto destination_network = make_tcp_network("destination0", addresses);
  const auto setup = [&](Network& network) {
    SideSetup side;
    side.geometry = {kBytes, 4096};
    side.options = &options;
    side.store = std::make_unique<MemoryBackend>(kBytes);
    side.network = &network;
    side.transport = &native_transport();
    return side;
  };
  SideSetup source_setup = setup(*source_network);
  fill_content(ContentKind::random, 1, source_setup.store->mapping(), 0);
  const Digest expected = digest_of(source_setup.store->mapping().first(accesses * 4096));
  std::unique_ptr<Side> source, destination;
  link.source().run([&] { source = strategy->open_source(std::move(source_setup)); });
  Pulled pulled;
  Digest found;
  SideSetup destination_setup = setup(*destination_network);
  link.destination().run([&] {
    const Deadline start = Clock::now();
    destination = strategy->open_destination(std::move(destination_setup));
    pulled.open_s = seconds(Clock::now() - start);
    RunningDigest digest;
    const auto memory = destination->region().memory;
    for (uint64_t i = 0; i < accesses; ++i) digest.update(memory.subspan(i * 4096, 4096));
    pulled.total_s = seconds(Clock::now() - start);
    found = digest.value();
  });
  destination.reset();
  if (found != expected) throw std::runtime_error(std::string(approach) + " brought other bytes");
  return pulled;
}

void measure(Nanoseconds rtt, int rounds) {
  std::vector<double> iperf, copy, uffd, lone, copy_ratio, uffd_ratio;
  for (int round = 0; round < rounds; ++round) {
    const auto link = one_gigabit(rtt);
    iperf.push_back(run_iperf3(*link));
    copy.push_back(static_cast<double>(kBytes) / pull(*link, "tcp_copy", kBytes / 4096).total_s);
    uffd.push_back(static_cast<double>(kBytes) / pull(*link, "userfaultfd", kBytes / 4096).total_s);
    const Pulled one = pull(*link, "userfaultfd", 1);
    lone.push_back(one.total_s - one.open_s);
    copy_ratio.push_back(copy.back() / iperf.back());
    uffd_ratio.push_back(uffd.back() / copy.back());
  }
  fmt::print(
      "1 Gbit/s, RTT {:.0f} ms, {} MiB, n={}: iperf3 {:.1f} MB/s, tcp_copy {:.1f}, userfaultfd "
      "{:.1f}; "
      "tcp_copy/iperf3 {:.3f}, userfaultfd/tcp_copy {:.3f}; lone fault {:.3f} ms\n",
      seconds(rtt) * 1e3, kBytes >> 20, rounds, median(iperf) / 1e6, median(copy) / 1e6,
      median(uffd) / 1e6, median(copy_ratio), median(uffd_ratio), median(lone) * 1e3);
}

// A demand read beside a background pull that fills the link: the transport's own probe, on both
// hosts.
void measure_demand_beside_background(Nanoseconds rtt) {
  const auto link = one_gigabit(rtt);
  ProcessSetup server;
  server.arguments = {MEMSYNC_DEMAND_PROBE, "serve", link->source_address()};
  server.network = &link->source();
  const FileDescriptor null = FileDescriptor::open("/dev/null", O_WRONLY);
  server.descriptors = {{null.get(), 1}};
  const Process process = Process::start(server);
  const auto asked =
      run_tool({MEMSYNC_DEMAND_PROBE, "ask", link->source_address(), "--reads", "500"}, "",
               &link->destination(), 120s);
  fmt::print("demand beside background, 1 Gbit/s, RTT {:.0f} ms: {}\n", seconds(rtt) * 1e3,
             asked.output);
}

}  // namespace
}  // namespace memsync

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  try {
    if (argc <= 2) {
      memsync::measure(std::chrono::milliseconds(0), rounds);
      memsync::measure(std::chrono::milliseconds(25), rounds);
      memsync::measure_demand_beside_background(std::chrono::milliseconds(5));
      memsync::measure_demand_beside_background(std::chrono::milliseconds(25));
    }
    for (int i = 2; i < argc; ++i)
      memsync::measure(std::chrono::milliseconds(std::atoi(argv[i])), rounds);
  } catch (const std::exception& error) {
    fmt::print(stderr, "link_figures: {}\n", error.what());
    return 70;
  }
}
