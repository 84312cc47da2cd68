// Engine `tun`: the middle routes each host's packets through a process of its own.
#include <cmath>
#include <filesystem>
#include <poll.h>
#include <random>
#include <stdexcept>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/process.h"
#include "lib/os/tun_device.h"
#include "netem/emulator.h"
#include "netem/engine_links.h"

namespace memsync {

namespace {

constexpr auto kAnswerTime = std::chrono::seconds(10);

// Beside the running program; the build tree keeps tests one folder below it.
std::string emulator_program(const LinkSetup& setup) {
  if (!setup.tun_program.empty()) return setup.tun_program;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const auto& candidate : {folder / "memsync-link", folder.parent_path() / "memsync-link"})
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  throw std::runtime_error("finding memsync-link: it is not in " + folder.string());
}

std::vector<std::string> emulator_arguments(const LinkSetup& setup) {
  const LinkShape& shape = setup.shape;
  return {emulator_program(setup),
          "3",
          "4",
          "5",
          "rate_bps=" + std::to_string(shape.bits_per_second.value_or(0)),
          "delay_ns=" + std::to_string(shape.rtt.count() / 2),
          "jitter_ns=" + std::to_string(shape.jitter.count()),
          "loss_ppb=" + std::to_string(std::llround(shape.loss_ratio * 1e9)),
          "queue_bytes=" + std::to_string(queue_bytes_of(shape)),
          "seed=" + std::to_string(setup.seed != 0 ? setup.seed : std::random_device()())};
}

// The kernel's ends are devices of the middle, ours go to the emulator.
struct TunPair {
  FileDescriptor source;
  FileDescriptor destination;
};

// Makes the devices; returns the commands that route what comes from the hosts into them.
std::string make_tun_pair(const NetworkNamespace& middle, const LinkShape& shape, TunPair& pair) {
  // Lost packets are lost one by one, so the kernel cuts superpackets up before they come here.
  const Offloads offloads = shape.loss_ratio > 0 ? Offloads::off : Offloads::on;
  middle.run([&] {
    pair.source = make_tun_device("tun-source", offloads);
    pair.destination = make_tun_device("tun-dest", offloads);
  });
  // The device's own queue only bridges the emulator's waking up: the shape's queue is in there.
  return "link set tun-source up txqueuelen 10000\n"
         "link set tun-dest up txqueuelen 10000\n"
         "route add default dev tun-source table 100\n"
         "route add default dev tun-dest table 101\n"
         "rule add iif source table 100\n"
         "rule add iif destination table 101\n";
}

class TunLink : public TopologyLink {
 public:
  // `devices` is filled and lives until the emulator has its copies.
  TunLink(const LinkSetup& setup, TunPair&& devices);
  Nanoseconds engine_cpu() const override;
  void set_cut(bool cut) override { request(cut ? kCutRequest : kMendRequest); }
  void check_alive() override;

 private:
  Process start_emulator(const TunPair& devices);
  void request(char what);
  void await(char answer);

  FileDescriptor control_;
  Process process_;
};

TunLink::TunLink(const LinkSetup& setup, TunPair&& devices)
    : TopologyLink(setup,
                   [&](const NetworkNamespace& middle) {
                     return make_tun_pair(middle, setup.shape, devices);
                   }),
      process_(start_emulator(devices)) {
  to_source().add_pfifo(kAmpleQueue);
  to_destination().add_pfifo(kAmpleQueue);
  await(kReadyNotice);
}

Process TunLink::start_emulator(const TunPair& devices) {
  auto [ours, theirs] = FileDescriptor::socket_pair();
  control_ = std::move(ours);
  ProcessSetup process;
  process.arguments = emulator_arguments(setup());
  process.descriptors = {
      {devices.source.get(), 3}, {devices.destination.get(), 4}, {theirs.get(), 5}};
  process.cpu = setup().cpu;
  return Process::start(process);
}

void TunLink::await(char answer) {
  const Deadline deadline = after(kAnswerTime);
  char got = 0;
  for (;;) {
    pollfd readable{control_.get(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, 100);
    if (ready < 0 && errno != EINTR) throw_errno("waiting for memsync-link");
    if (ready > 0 && ::recv(control_.get(), &got, 1, 0) == 1 && got == answer) return;
    check_alive();
    if (Clock::now() > deadline) throw std::runtime_error("memsync-link does not answer");
  }
}

void TunLink::request(char what) {
  check_alive();
  check(::send(control_.get(), &what, 1, MSG_NOSIGNAL), "asking memsync-link");
  await(what);
}

Nanoseconds TunLink::engine_cpu() const {
  clockid_t clock{};
  timespec used{};
  if (::clock_getcpuclockid(process_.pid(), &clock) != 0 || ::clock_gettime(clock, &used) != 0)
    throw_errno("reading the CPU time of memsync-link");
  return std::chrono::seconds(used.tv_sec) + Nanoseconds(used.tv_nsec);
}

void TunLink::check_alive() {
  if (const auto end = process_.wait_until(Deadline{}))
    throw std::runtime_error("memsync-link has ended: " + end->describe());
}

}  // namespace

std::unique_ptr<Link> make_tun_link(const LinkSetup& setup) {
  return std::make_unique<TunLink>(setup, TunPair{});
}

}  // namespace memsync
