// What a hub costs: bytes that leave the source, time until 1 and 8 receivers see a change, what a
// slow receiver costs the others, what each topology costs a late joiner. All ends in one process
// over TCP on loopback, files in memory; sources hash everything in each look.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <fmt/core.h>
#include <list>
#include <random>
#include <thread>

#include "approaches/mmap_push/hub/hub.h"
#include "approaches/mmap_push/passing_stream.h"
#include "approaches/mmap_push/path_source.h"
#include "approaches/mmap_push/receiver.h"
#include "approaches/mmap_push/sender.h"
#include "lib/os/error.h"
#include "lib/os/temporary_folder.h"
#include "lib/transport/network.h"

namespace memsync::mmap_push {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kSize = 256 << 20;
constexpr uint64_t kBlocks = kSize / 4096;
constexpr Nanoseconds kPatience = std::chrono::seconds(60);
constexpr unsigned kTimes = 9;

double thread_cpu_s() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) * 1e-9;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Takes so many bytes per second off a stream: a receiver that is slow.
class SlowStream : public PassingStream {
 public:
  SlowStream(Stream& next, double bytes_per_s) : PassingStream(next), rate_(bytes_per_s) {}
  std::optional<size_t> read_some(std::span<const iovec> into) override {
    sleep_until_deadline(next_time_);
    const size_t most = std::max<size_t>(1, static_cast<size_t>(rate_ / 100));
    const iovec part{into[0].iov_base, std::min(into[0].iov_len, most)};
    const auto got = PassingStream::read_some({&part, 1});
    next_time_ = after(from_seconds(static_cast<double>(got.value_or(0)) / rate_));
    return got;
  }

 private:
  const double rate_;
  Deadline next_time_{};
};

// In place: one file each, so that many fit into memory.
class Receiving {
 public:
  explicit Receiving(Network& network, double bytes_per_s = 0)
      : folder_(TemporaryFolder::make(kMemoryFolder)),
        stream_(network.connect("", "", after(kPatience))),
        received_(folder_.path(), Publish::in_place, Durable::off) {
    if (bytes_per_s > 0) slow_ = std::make_unique<SlowStream>(*stream_, bytes_per_s);
    serving_ = std::jthread([this] { serve(); });
  }
  ~Receiving() { stream_->shut_down(); }
  void leave() {
    stream_->shut_down();
    serving_.join();
  }
  void come_back(Network& network) {
    stream_ = network.connect("", "", after(kPatience));
    serving_ = std::jthread([this] { serve(); });
  }
  Receiving(const Receiving&) = delete;
  Receiving& operator=(const Receiving&) = delete;

  // When the n-th version was published.
  Deadline wait_for(unsigned version) {
    for (unsigned now = versions_; now < version; now = versions_) versions_.wait(now);
    return published_at_;
  }
  double cpu_s() const { return cpu_s_; }
  uint64_t bytes_read() const { return stream_->bytes_read(); }

 private:
  void serve() {
    try {
      ReceiverEvents events;
      events.published = [this](ReceivedFile&, const End&, bool) {
        published_at_ = Clock::now();
        cpu_s_ = thread_cpu_s();
        ++versions_;
        versions_.notify_all();
      };
      Stream& stream = slow_ ? *slow_ : *stream_;
      Receiver(stream, received_, events, after(kPatience), kPatience, {.may_be_hub = true})
          .serve();
    } catch (const std::system_error&) {
      // The end of the probe.
    }
  }

  const TemporaryFolder folder_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<SlowStream> slow_;
  ReceivedFolder received_;
  std::atomic<unsigned> versions_ = 0;
  std::atomic<Deadline> published_at_{};
  std::atomic<double> cpu_s_ = 0;
  std::jthread serving_;
};

// A source, a hub and its receivers, which all have the file.
class Star {
 public:
  Star(size_t receivers, Topology topology = Topology::dynamic, double slow_bytes_per_s = 0)
      : place_(TemporaryFolder::make(kMemoryFolder)),
        network_(make_address_network("127.0.0.1:0")),
        listener_(network_->listen("hub")),
        hub_({.folder = place_.path(), .forwarder = {.topology = topology}}, {}, {}),
        data_(TemporaryFolder::make(kMemoryFolder)),
        file_(FileDescriptor::open(path(), O_RDWR | O_CREAT)) {
    fill();
    running_ = std::jthread([this](const std::stop_token& stop) { hub_.run(*listener_, stop); });
    dialling_ = make_address_network(network_->address(""));
    source_ = std::make_unique<PathSource>(path(), PathSettings{});
    stream_ = dialling_->connect("", "", after(kPatience));
    sender_ = std::make_unique<Sender>(*stream_, SenderSettings{}, after(kPatience));
    sender_->offer("data", *source_, after(kPatience));
    sync();
    for (size_t i = 0; i < receivers; ++i) join();
    version_ = 1;
    for (Receiving& one : receivers_) one.wait_for(1);
    if (slow_bytes_per_s > 0) slow_ = std::make_unique<Receiving>(*dialling_, slow_bytes_per_s);
  }

  void join() { receivers_.emplace_back(*dialling_); }
  Network& network() { return *dialling_; }
  std::string path() const { return data_.path() + "/data"; }
  SyncReport sync() { return sender_->sync({}, after(kPatience)); }
  uint64_t bytes_sent() const { return stream_->bytes_written(); }
  std::list<Receiving>& receivers() { return receivers_; }

  void flip(uint64_t block) {
    const uint64_t value = ++changes_;
    check(::pwrite(file_.get(), &value, sizeof value, static_cast<off_t>(block * 4096)), "writing");
  }
  // Changes 1 % of the blocks and gives the seconds until every receiver that joined by then
  // publishes them.
  double round() {
    for (uint64_t i = 0; i < kBlocks / 100; ++i) flip(random_() % kBlocks);
    const Deadline start = Clock::now();
    sync();
    return wait_for_all() - seconds(start.time_since_epoch());
  }
  // On the clock.
  double wait_for_all() {
    ++version_;
    Deadline last{};
    for (Receiving& one : receivers_) last = std::max(last, one.wait_for(version_));
    return seconds(last.time_since_epoch());
  }

 private:
  void fill() const {
    std::vector<uint64_t> piece(1 << 17);
    std::mt19937_64 random(1);
    for (uint64_t at = 0; at < kSize; at += piece.size() * 8) {
      for (uint64_t& word : piece) word = random();
      check(::pwrite(file_.get(), piece.data(), piece.size() * 8, static_cast<off_t>(at)),
            "writing");
    }
  }

  const TemporaryFolder place_;
  const std::unique_ptr<Network> network_;
  const std::unique_ptr<Listener> listener_;
  Hub hub_;
  const TemporaryFolder data_;
  const FileDescriptor file_;
  std::jthread running_;
  std::unique_ptr<Network> dialling_;
  std::unique_ptr<PathSource> source_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Sender> sender_;
  std::list<Receiving> receivers_;
  std::unique_ptr<Receiving> slow_;
  uint64_t changes_ = 0;
  unsigned version_ = 0;
  std::mt19937_64 random_{2};
};

// A byte changes at any phase of the interval while rounds go on.
void probe_lag(size_t receivers) {
  constexpr Nanoseconds kInterval = milliseconds(100);
  Star star(receivers);
  std::vector<double> lags, rounds;
  for (unsigned time = 0; time < 2 * kTimes; ++time) {
    std::atomic<bool> seen = false;
    double written_at = 0;
    std::jthread writer([&] {
      sleep_until_deadline(after(kInterval * (time * 37 % 100) / 100));
      written_at = seconds(Clock::now().time_since_epoch());
      star.flip(time * 7919 % kBlocks);
      seen = true;
    });
    for (bool moved = false; !moved;) {
      const Deadline start = Clock::now();
      moved = star.sync().chunks_moved > 0;
      if (moved) break;
      sleep_until_deadline(start + kInterval);
      rounds.push_back(seconds(Clock::now() - start));
    }
    const double at = star.wait_for_all();
    writer.join();
    lags.push_back((at - written_at) * 1e3);
  }
  const double round = median(rounds) * 1e3;
  fmt::print(
      "1 changed byte, {} receivers: lag p50 {:.1f}, max {:.1f} ms; two rounds of {:.1f} ms + 50: "
      "{:.1f} ms\n",
      receivers, median(lags), std::ranges::max(lags), round, 2 * round + 50);
}

void probe_one_and_eight() {
  Star one(1), eight(8);
  std::vector<double> of_one, of_eight;
  const uint64_t one_before = one.bytes_sent(), eight_before = eight.bytes_sent();
  for (unsigned time = 0; time < kTimes; ++time) {
    of_one.push_back(one.round());
    of_eight.push_back(eight.round());
  }
  fmt::print("1 % of 256 MiB: 1 receiver {:.1f} ms, 8 receivers {:.1f} ms, ratio {:.2f} (n = {})\n",
             median(of_one) * 1e3, median(of_eight) * 1e3, median(of_eight) / median(of_one),
             kTimes);
  fmt::print("bytes that left the source in these rounds: {} and {}\n",
             one.bytes_sent() - one_before, eight.bytes_sent() - eight_before);
}

// One byte changes; until one receiver shows it, which the source serves itself or a hub does.
void probe_detour() {
  Star star(1);
  const auto [network, folder] =
      std::pair{make_address_network("127.0.0.1:0"), TemporaryFolder::make(kMemoryFolder)};
  const auto listener = network->listen("push");
  const auto dialled =
      make_address_network(network->address(""))->connect("", "", after(kPatience));
  const auto accepted = listener->accept(after(kPatience));
  ReceivedFolder received(folder.path(), Publish::in_place, Durable::off);
  std::atomic<Deadline> published_at{};
  const std::jthread serving([&] {
    ReceiverEvents events;
    events.published = [&](ReceivedFile&, const End&, bool) { published_at = Clock::now(); };
    Receiver(*accepted, received, events, after(kPatience)).serve();
  });
  PathSource source(star.path(), {});
  Sender sender(*dialled, {}, after(kPatience));
  sender.offer("data", source, after(kPatience));
  sender.sync({}, after(kPatience));
  std::vector<double> direct, by_hub;
  for (unsigned time = 0; time < 2 * kTimes; ++time) {
    star.flip(time * 7919 % kBlocks);
    Deadline start = Clock::now();
    sender.sync({}, after(kPatience));
    direct.push_back(seconds(published_at.load() - start) * 1e3);
    start = Clock::now();
    star.sync();
    by_hub.push_back((star.wait_for_all() - seconds(start.time_since_epoch())) * 1e3);
  }
  dialled->shut_down();
  fmt::print("1 changed byte, 1 receiver: {:.1f} ms without a hub, {:.1f} ms with one (n = {})\n",
             median(direct), median(by_hub), 2 * kTimes);
}

void probe_slow(double bytes_per_s) {
  Star alone(4), beside(4, Topology::dynamic, bytes_per_s);
  std::vector<double> without, with;
  for (unsigned time = 0; time < 2 * kTimes; ++time) {
    without.push_back(alone.round());
    with.push_back(beside.round());
  }
  fmt::print(
      "1 % of 256 MiB, 4 receivers: {:.1f} ms; beside one more at {:.0f} B/s: {:.1f} ms, ratio "
      "{:.3f}; worst {:.1f} and {:.1f} ms (n = {})\n",
      median(without) * 1e3, bytes_per_s, median(with) * 1e3, median(with) / median(without),
      std::ranges::max(without) * 1e3, std::ranges::max(with) * 1e3, 2 * kTimes);
}

void probe_topology(Topology topology, const char* name) {
  Star star(2, topology);
  star.round();
  std::vector<double> before;
  for (const Receiving& one : star.receivers()) before.push_back(one.cpu_s());
  for (unsigned time = 0; time < kTimes; ++time) star.round();
  const double cpu = (star.receivers().back().cpu_s() - before.back()) / kTimes;
  fmt::print("topology {}: a receiver's CPU per round {:.2f} ms\n", name, cpu * 1e3);
  Deadline start = Clock::now();
  Receiving late(star.network());
  const auto tell = [&](const char* who, unsigned version) {
    const double took = seconds(late.wait_for(version) - start);
    fmt::print("  {} is equal after {:.0f} ms, {:.1f} MB and {:.0f} ms of its CPU\n", who,
               took * 1e3, static_cast<double>(late.bytes_read()) / 1e6, late.cpu_s() * 1e3);
  };
  tell("who joins late", 1);
  late.leave();
  star.round();
  start = Clock::now();
  late.come_back(star.network());
  tell("who comes back after one round", 2);
}

}  // namespace
}  // namespace memsync::mmap_push

int main() {
  using namespace memsync::mmap_push;  // NOLINT(google-build-using-namespace)
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  probe_lag(8);
  probe_one_and_eight();
  probe_detour();
  probe_slow(1);
  probe_slow(1e6);
  probe_topology(Topology::dynamic, "dynamic");
  probe_topology(Topology::fixed, "static");
  return 0;
}
