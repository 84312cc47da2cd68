#include "netem/probe_traffic.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <optional>
#include <span>
#include <sys/socket.h>

#include "lib/os/error.h"
#include "netem/real_time.h"
#include "netem/topology.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace memsync {

namespace {

constexpr uint16_t kPort = 7;
constexpr int kPayloadBytes = 1472;  // of a datagram that fills an MTU of 1500
constexpr uint64_t kHeaderBytes = 28;
constexpr unsigned kMostSegments = 44;
constexpr auto kProbeInterval = std::chrono::milliseconds(4);

sockaddr_in address_of(const std::string& text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  ::inet_pton(AF_INET, text.c_str(), &address.sin_addr);
  return address;
}

void set_option(const FileDescriptor& socket, int level, int name, int value) {
  check(::setsockopt(socket.get(), level, name, &value, sizeof value), "setting a socket option");
}

// Connected to the other host and non-blocking, with room for a long burst.
FileDescriptor make_socket(const NetworkNamespace& network, const std::string& self,
                           const std::string& peer) {
  FileDescriptor socket;
  network.run([&] {
    socket = FileDescriptor{
        check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "a probe socket")};
    const sockaddr_in own = address_of(self);
    const sockaddr_in other = address_of(peer);
    check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own),
          "binding a probe socket to " + self);
    check(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&other), sizeof other),
          "connecting a probe socket to " + peer);
  });
  // Beyond rmem_max, which is the whole machine's; without that privilege what there is must do.
  const int room = 64 << 20;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
    set_option(socket, SOL_SOCKET, SO_RCVBUF, room);
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
    set_option(socket, SOL_SOCKET, SO_SNDBUF, room);
  set_option(socket, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  set_option(socket, IPPROTO_UDP, UDP_GRO, 1);
  return socket;
}

struct Received {
  uint64_t bytes = 0;  // of payload
  uint64_t packets = 0;
  Nanoseconds stamp{};  // CLOCK_REALTIME, by the kernel when the packet reached the device
};

// What the control messages of a datagram say about it.
Received describe(msghdr& message, uint64_t bytes) {
  Received result{.bytes = bytes, .packets = 1, .stamp = {}};
  for (auto* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SO_TIMESTAMPNS) {
      timespec stamp{};
      std::memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
      result.stamp = std::chrono::seconds(stamp.tv_sec) + Nanoseconds(stamp.tv_nsec);
    } else if (item->cmsg_level == IPPROTO_UDP && item->cmsg_type == UDP_GRO) {
      int segment_bytes = 0;
      std::memcpy(&segment_bytes, CMSG_DATA(item), sizeof segment_bytes);
      const auto segment = static_cast<uint64_t>(std::max(segment_bytes, 1));
      result.packets = (bytes + segment - 1) / segment;
    }
  }
  return result;
}

// Takes datagrams and superpackets, many with one call; only their sizes and stamps are kept.
class BatchReceiver {
 public:
  BatchReceiver() : buffer_(kUnits * kUnitBytes) {}

  // Calls `each` with what is there, at most kUnits. Returns how many there were.
  template <typename Each>
  int receive(const FileDescriptor& socket, const Each& each) {
    for (size_t i = 0; i < kUnits; ++i) {
      parts_[i] = {buffer_.data() + i * kUnitBytes, kUnitBytes};
      messages_[i].msg_hdr = {};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
      messages_[i].msg_hdr.msg_control = controls_[i].bytes;
      messages_[i].msg_hdr.msg_controllen = sizeof controls_[i].bytes;
    }
    const int got = ::recvmmsg(socket.get(), messages_.data(), kUnits, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < got; ++i) {
      auto& message = messages_[static_cast<size_t>(i)];
      each(describe(message.msg_hdr, message.msg_len));
    }
    return got;  // negative: nothing there, or ICMP's report on an earlier datagram
  }

 private:
  static constexpr unsigned kUnits = 32;
  static constexpr size_t kUnitBytes = 65536;
  struct Control {
    alignas(cmsghdr) char bytes[128];
  };
  std::vector<char> buffer_;
  std::array<iovec, kUnits> parts_{};
  std::array<mmsghdr, kUnits> messages_{};
  std::array<Control, kUnits> controls_{};
};

}  // namespace

// What has arrived. Bytes count from behind the first unit, whose own time on the line is unknown.
struct ProbeTraffic::Arrivals {
  uint64_t packets = 0;
  uint64_t bytes_after_first = 0;
  Nanoseconds first{};
  Nanoseconds last{};
  Clock::time_point last_seen{};

  void add(const Received& unit) {
    packets += unit.packets;
    if (first == Nanoseconds::zero()) first = unit.stamp;
    if (unit.stamp > first) {
      bytes_after_first += unit.bytes + unit.packets * kHeaderBytes;
      last = std::max(last, unit.stamp);
    }
  }
  double bits_per_second() const {
    return last > first ? 8 * static_cast<double>(bytes_after_first) / seconds(last - first) : 0;
  }
};

struct ProbeTraffic::Offered {
  uint64_t packets = 0;
  Nanoseconds longest_pause{};  // in which this thread did not run
};

ProbeTraffic::ProbeTraffic(const Link& link)
    : link_(link),
      source_(make_socket(link.source(), link.source_address(), link.destination_address())),
      destination_(
          make_socket(link.destination(), link.destination_address(), link.source_address())) {}

std::vector<Nanoseconds> ProbeTraffic::round_trips(unsigned count) {
  constexpr unsigned kUncounted = 2;  // the first find cold caches
  std::vector<Nanoseconds> result;
  std::array<char, 64> buffer{};
  unsigned sent = 0;
  const auto start = Clock::now();
  const auto end = start + kProbeInterval * (count + kUncounted) + 2 * link_.shape().rtt +
                   2 * link_.shape().jitter + std::chrono::milliseconds(100);
  Naps naps;
  for (auto now = start; result.size() < count && now < end; now = Clock::now()) {
    if (result.size() + kUncounted == sent) naps.nap_when_due(now);  // nothing is on its way
    if (sent < count + kUncounted && now >= start + kProbeInterval * sent) {
      const int64_t stamp = Clock::now().time_since_epoch().count();
      std::memcpy(buffer.data(), &sent, sizeof sent);
      std::memcpy(buffer.data() + sizeof stamp, &stamp, sizeof stamp);
      [[maybe_unused]] const auto went = ::send(source_.get(), buffer.data(), buffer.size(), 0);
      ++sent;
    }
    if (::recv(destination_.get(), buffer.data(), buffer.size(), 0) > 0) {
      [[maybe_unused]] const auto back =
          ::send(destination_.get(), buffer.data(), buffer.size(), 0);
    }
    if (::recv(source_.get(), buffer.data(), buffer.size(), 0) > 0) {
      unsigned number = 0;
      int64_t stamp = 0;
      std::memcpy(&number, buffer.data(), sizeof number);
      std::memcpy(&stamp, buffer.data() + sizeof stamp, sizeof stamp);
      if (number >= kUncounted)
        result.push_back(Clock::now().time_since_epoch() - Nanoseconds(stamp));
    }
  }
  return result;
}

Nanoseconds ProbeTraffic::longest_quiet(double bits_per_second) const {
  const double unit_s = 8.0 * kMostSegments * double{kPayloadBytes} / bits_per_second;
  return std::chrono::milliseconds(30) + link_.shape().jitter +
         Nanoseconds(static_cast<int64_t>(std::min(unit_s, 0.5) * 1e9));
}

ProbeTraffic::Offered ProbeTraffic::send_and_count(Way way, Nanoseconds duration,
                                                   double bits_per_second, unsigned segments,
                                                   Arrivals& arrivals) {
  const FileDescriptor& from = way == Way::forth ? source_ : destination_;
  const FileDescriptor& to = way == Way::forth ? destination_ : source_;
  set_option(from, IPPROTO_UDP, UDP_SEGMENT, segments > 1 ? kPayloadBytes : 0);
  const std::vector<char> buffer(65536);
  BatchReceiver receiver;  // before the clock starts: its buffers are many pages
  const size_t unit_bytes = size_t{segments} * kPayloadBytes;
  const double unit_bits = 8.0 * segments * (kPayloadBytes + kHeaderBytes);
  const auto start = Clock::now();
  const auto limit = start + duration + link_.shape().rtt + std::chrono::seconds(3);
  const Nanoseconds quiet = longest_quiet(bits_per_second);
  Naps naps;
  Offered offered;
  // After a pause this thread makes up for it, but never with a burst that the queue can't hold.
  const double most_units =
      std::max(2.0, 0.25 * static_cast<double>(queue_bytes_of(link_.shape())) * 8 / unit_bits);
  double units_due = 1;
  auto previous = start;
  arrivals.last_seen = start + duration + link_.shape().rtt / 2;
  for (auto now = start; now < limit; now = Clock::now()) {
    const bool sending = now < start + duration;
    if (!sending && now > arrivals.last_seen + quiet) break;
    const Nanoseconds passed = now - previous;
    previous = now;
    if (sending) offered.longest_pause = std::max(offered.longest_pause, passed);
    units_due = std::min(most_units, units_due + bits_per_second * seconds(passed) / unit_bits);
    if (sending && units_due >= 1 && ::send(from.get(), buffer.data(), unit_bytes, 0) >= 0) {
      offered.packets += segments;
      units_due -= 1;
    }
    if (receiver.receive(to, [&](const Received& unit) { arrivals.add(unit); }) > 0)
      arrivals.last_seen = now;
    naps.nap_when_due(now);
  }
  return offered;
}

double ProbeTraffic::overload(Way way, Nanoseconds duration, uint64_t bits_per_second) {
  constexpr double kExcess = 1.08;  // more would only be dropped
  constexpr int kAttempts = 3;
  const unsigned segments = segments_at(bits_per_second);
  const double rate = static_cast<double>(bits_per_second);
  const double queue_s = 8 * static_cast<double>(queue_bytes_of(link_.shape())) / rate;
  double measured = 0;
  Nanoseconds shortest_pause = Nanoseconds::max();
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Arrivals arrivals;
    const Offered offered = send_and_count(
        way, duration, kExcess * rate / (1 - link_.shape().loss_ratio), segments, arrivals);
    if (offered.longest_pause < shortest_pause) {
      shortest_pause = offered.longest_pause;
      measured = arrivals.bits_per_second();
    }
    // While this thread was off its CPU for longer than the queue lasts, the line was idle.
    if (seconds(shortest_pause) < 0.8 * queue_s) break;
  }
  return measured;
}

LossCount ProbeTraffic::count_losses(Nanoseconds duration) {
  constexpr double kPacketBits = 8.0 * (kPayloadBytes + kHeaderBytes);
  constexpr double kMostPackets_s = 30'000;  // what the emulator carries easily without offloads
  const auto rate = link_.shape().bits_per_second;
  double bits_per_second = kMostPackets_s * kPacketBits;
  if (rate) bits_per_second = std::min(bits_per_second, 0.5 * static_cast<double>(*rate));
  Arrivals arrivals;
  const Offered offered = send_and_count(Way::forth, duration, bits_per_second, 1, arrivals);
  return {.sent = offered.packets, .received = arrivals.packets};
}

std::string ProbeTraffic::congestion_control() const {
  char name[16] = {};
  link_.source().run([&] {
    const FileDescriptor socket{
        check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "a TCP socket")};
    // The route decides when the first packet is made; nobody needs to answer.
    const sockaddr_in other = address_of(link_.destination_address());
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&other), sizeof other) < 0 &&
        errno != EINPROGRESS)
      throw_errno("connecting to " + link_.destination_address());
    socklen_t size = sizeof name;
    check(::getsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name, &size), "TCP_CONGESTION");
  });
  return std::string(name, ::strnlen(name, sizeof name));
}

}  // namespace memsync
