#include "netem/link_test_traffic.h"

#include <arpa/inet.h>
#include <cstring>
#include <linux/tcp.h>  // glibc's tcp_info ends before tcpi_bytes_sent
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

struct Ends {
  const NetworkNamespace& from;
  const NetworkNamespace& to;
  sockaddr_in target{};
};

Ends ends_of(const Link& link, Direction direction, uint16_t port) {
  const bool forth = direction == Direction::forth;
  Ends ends{forth ? link.source() : link.destination(), forth ? link.destination() : link.source()};
  ends.target.sin_family = AF_INET;
  ends.target.sin_port = htons(port);
  ::inet_pton(AF_INET, (forth ? link.destination_address() : link.source_address()).c_str(),
              &ends.target.sin_addr);
  return ends;
}

FileDescriptor socket_in(const NetworkNamespace& network, int type) {
  FileDescriptor result;
  network.run([&] {
    result = FileDescriptor{check(::socket(AF_INET, type | SOCK_CLOEXEC, 0), "a test's socket")};
  });
  return result;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void set_patience(const FileDescriptor& socket, Nanoseconds patience) {
  timeval limit{};
  limit.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
  limit.tv_usec =
      std::chrono::duration_cast<std::chrono::microseconds>(patience % std::chrono::seconds(1))
          .count();
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), "SO_RCVTIMEO");
}

// Everything that left this connected socket until now: each segment, also one sent again, with the
// headers of IP and TCP with time stamps (52 bytes); the SYN has 8 bytes of options more.
uint64_t sent_ip_bytes(const FileDescriptor& socket) {
  constexpr uint64_t kHeaderBytes = 52, kMoreOfTheSyn = 8;
  tcp_info info{};
  socklen_t size = sizeof info;
  check(::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &size), "TCP_INFO");
  return info.tcpi_bytes_sent + info.tcpi_segs_out * kHeaderBytes + kMoreOfTheSyn;
}

}  // namespace

std::string engine_problem(LinkEngine engine) {
  static const auto engines = probe_engines();
  for (const auto& state : engines)
    if (state.engine == engine && !state.available)
      return std::string(engine_name(engine)) + ": " + state.reason + "; " + state.next_step;
  return "";
}

std::unique_ptr<Link> make_test_link(LinkEngine engine, const LinkShape& shape) {
  return make_link({.engine = engine, .shape = shape});
}

Transfer transfer(const Link& link, Direction direction, uint64_t bytes) {
  const Ends ends = ends_of(link, direction, 9000);
  const FileDescriptor listener = socket_in(ends.to, SOCK_STREAM);
  const int yes = 1;
  check(::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "SO_REUSEADDR");
  check(::bind(listener.get(), generic(ends.target), sizeof ends.target), "binding");
  check(::listen(listener.get(), 1), "listening");
  Transfer result;
  std::jthread sender([&] {
    const FileDescriptor socket = socket_in(ends.from, SOCK_STREAM);
    check(::connect(socket.get(), generic(ends.target), sizeof ends.target), "connecting");
    char name[16] = {};
    socklen_t size = sizeof name;
    check(::getsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name, &size), "TCP_CONGESTION");
    result.congestion_control = name;
    const std::vector<char> block(256 << 10, 'x');
    for (uint64_t left = bytes; left > 0;) {
      const size_t now = std::min<uint64_t>(left, block.size());
      write_all(socket.get(), block.data(), now, "sending");
      left -= now;
    }
    check(::shutdown(socket.get(), SHUT_WR), "ending the stream");
    char nothing = 0;  // its end comes after everything was acknowledged
    check(::read(socket.get(), &nothing, 1), "waiting for the other side's end");
    result.sent_ip_bytes = sent_ip_bytes(socket);
  });
  FileDescriptor socket{check(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept")};
  std::vector<char> block(256 << 10);
  Clock::time_point first{};
  for (;;) {
    const ssize_t got = ::read(socket.get(), block.data(), block.size());
    check(got, "receiving");
    if (got == 0) break;
    if (result.received_bytes == 0) first = Clock::now();
    result.received_bytes += static_cast<uint64_t>(got);
  }
  result.seconds = seconds(Clock::now() - first);
  socket = FileDescriptor{};
  sender.join();
  return result;
}

uint64_t send_datagrams(const Link& link, Direction direction, unsigned count, size_t payload,
                        std::vector<uint32_t>* order) {
  const Ends ends = ends_of(link, direction, 9001);
  const FileDescriptor receiver = socket_in(ends.to, SOCK_DGRAM);
  const int room = 64 << 20;
  check(::setsockopt(receiver.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room), "SO_RCVBUF");
  check(::bind(receiver.get(), generic(ends.target), sizeof ends.target), "binding");
  const FileDescriptor sender = socket_in(ends.from, SOCK_DGRAM);
  std::vector<char> datagram(payload);
  for (uint32_t number = 0; number < count; ++number) {
    std::memcpy(datagram.data(), &number, sizeof number);
    check(::sendto(sender.get(), datagram.data(), payload, 0, generic(ends.target),
                   sizeof ends.target),
          "sending a datagram");
  }
  set_patience(receiver, link.shape().rtt + link.shape().jitter + std::chrono::milliseconds(300));
  uint64_t received = 0;
  while (received < count && ::recv(receiver.get(), datagram.data(), payload, 0) >= 0) {
    ++received;
    uint32_t number = 0;
    std::memcpy(&number, datagram.data(), sizeof number);
    if (order != nullptr) order->push_back(number);
  }
  return received;
}

}  // namespace memsync
