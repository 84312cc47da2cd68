#include "netem/root_queue.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "lib/os/error.h"

namespace memsync {

namespace {

struct QdiscRequest {
  nlmsghdr header{};
  tcmsg body{};
};

struct PfifoRequest {
  nlmsghdr header{};
  tcmsg body{};
  rtattr kind_header{};
  char kind[8] = "pfifo";
  rtattr options_header{};
  tc_fifo_qopt options{};
};
static_assert(sizeof(PfifoRequest) == NLMSG_LENGTH(sizeof(tcmsg)) + 4 + 8 + 4 + 4);

// The statistics of the root qdisc of device `index`, when this message is about it.
std::optional<QdiscCount> root_count(nlmsghdr* message, int index) {
  auto* body = static_cast<tcmsg*>(NLMSG_DATA(message));
  if (body->tcm_ifindex != index || body->tcm_parent != TC_H_ROOT) return std::nullopt;
  QdiscCount count;
  int left = static_cast<int>(message->nlmsg_len - NLMSG_LENGTH(sizeof *body));
  for (auto* outer = TCA_RTA(body); RTA_OK(outer, left); outer = RTA_NEXT(outer, left)) {
    if (outer->rta_type != TCA_STATS2) continue;
    int inner_left = static_cast<int>(RTA_PAYLOAD(outer));
    for (auto* inner = static_cast<rtattr*>(RTA_DATA(outer)); RTA_OK(inner, inner_left);
         inner = RTA_NEXT(inner, inner_left)) {
      gnet_stats_basic basic{};
      if (inner->rta_type == TCA_STATS_BASIC && RTA_PAYLOAD(inner) >= sizeof basic.bytes + 4) {
        std::memcpy(&basic, RTA_DATA(inner), sizeof basic.bytes + sizeof basic.packets);
        count.bytes = basic.bytes;
        count.packets = std::max<uint64_t>(count.packets, basic.packets);
      } else if (inner->rta_type == TCA_STATS_PKT64) {  // when 32 bits have not been enough
        std::memcpy(&count.packets, RTA_DATA(inner), sizeof count.packets);
      }
    }
  }
  return count;
}

}  // namespace

RootQueue::RootQueue(const NetworkNamespace& network, const std::string& name) : name_(name) {
  network.run([&] {
    socket_ = FileDescriptor{
        check(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "a netlink socket")};
    device_index_ = static_cast<int>(::if_nametoindex(name.c_str()));
  });
  if (device_index_ == 0) throw_errno("finding the device " + name, ENODEV);
}

void RootQueue::add_pfifo(uint32_t packets) {
  set_pfifo(packets, NLM_F_CREATE | NLM_F_EXCL, "adding a queue to " + name_);
}

void RootQueue::change_pfifo(uint32_t packets) {
  set_pfifo(packets, 0, "changing the queue of " + name_);
}

void RootQueue::set_pfifo(uint32_t packets, uint16_t flags, const std::string& attempt) {
  PfifoRequest request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWQDISC;
  request.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  request.body.tcm_family = AF_UNSPEC;
  request.body.tcm_ifindex = device_index_;
  request.body.tcm_parent = TC_H_ROOT;
  request.kind_header = {RTA_LENGTH(sizeof request.kind), TCA_KIND};
  request.options_header = {RTA_LENGTH(sizeof request.options), TCA_OPTIONS};
  request.options.limit = packets;
  check(::send(socket_.get(), &request, sizeof request, 0), attempt);
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[1024];
  } answer{};
  check(::recv(socket_.get(), &answer, sizeof answer, 0), attempt);
  if (answer.header.nlmsg_type != NLMSG_ERROR) throw_errno(attempt, EPROTO);
  if (answer.error.error != 0) throw_errno(attempt, -answer.error.error);
}

QdiscCount RootQueue::read() const {
  QdiscRequest request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETQDISC;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.tcm_family = AF_UNSPEC;
  const std::string attempt = "reading the qdisc of " + name_;
  check(::send(socket_.get(), &request, sizeof request, 0), attempt);
  std::optional<QdiscCount> result;
  alignas(nlmsghdr) std::array<char, 32768> buffer;  // the kernel's own maximum for a dump
  for (;;) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    check(got, attempt);
    auto left = static_cast<unsigned>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_ERROR)
        throw_errno(attempt, -static_cast<nlmsgerr*>(NLMSG_DATA(message))->error);
      if (message->nlmsg_type == NLMSG_DONE) {
        if (!result) throw std::runtime_error(attempt + ": there is none");
        return *result;
      }
      if (const auto count = root_count(message, device_index_)) result = count;
    }
  }
}

IpPacketCounter::IpPacketCounter(const NetworkNamespace& network) {
  network.run([&] { netstat_ = FileDescriptor::open("/proc/thread-self/net/netstat", O_RDONLY); });
}

uint64_t IpPacketCounter::read() const {
  std::string text(16384, '\0');
  const ssize_t got =
      check(::pread(netstat_.get(), text.data(), text.size(), 0), "reading netstat");
  text.resize(static_cast<size_t>(got));
  // Two lines begin with "IpExt:": names, then values in the same order.
  const size_t names_at = text.find("IpExt: ");
  const size_t values_at =
      names_at == std::string::npos ? names_at : text.find("IpExt: ", names_at + 1);
  if (values_at == std::string::npos) throw std::runtime_error("netstat has no IpExt lines");
  std::istringstream names(text.substr(names_at, text.find('\n', names_at) - names_at));
  std::istringstream values(text.substr(values_at, text.find('\n', values_at) - values_at));
  std::string name;
  std::string value;
  uint64_t packets = 0;
  while (names >> name && values >> value)
    if (name == "InNoECTPkts" || name == "InECT1Pkts" || name == "InECT0Pkts" || name == "InCEPkts")
      packets += std::stoull(value);
  return packets;
}

}  // namespace memsync
