#include "approaches/userfaultfd/fault_session.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <poll.h>
#include <sys/socket.h>

#include "approaches/userfaultfd/foreign_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/shifted_source.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {

namespace {

SessionTotals totals_of(const Pager& pager) {
  const Statistics statistics = pager.statistics();
  SessionTotals totals{.was_served = true,
                       .faults = statistics.faults.value_or(0),
                       .bytes_received = statistics.payload_received.value_or(0),
                       .bytes_lost = 0};
  for (const ByteRange& range : pager.lost()) totals.bytes_lost += range.length;
  return totals;
}

std::string name_of(const Peer& peer) {
  std::string command;
  std::getline(std::ifstream("/proc/" + std::to_string(peer.pid) + "/comm"), command);
  return "process " + std::to_string(peer.pid) + (command.empty() ? "" : " (" + command + ")");
}

// The bytes mapped from `start` on in the peer's memory, 0 when that can't be seen: a registered
// mapping is not merged with its neighbours.
uint64_t mapped_bytes(const Peer& peer, uint64_t start) {
  std::ifstream maps("/proc/" + std::to_string(peer.pid) + "/maps");
  uint64_t begin = 0;
  uint64_t end = 0;
  char dash = 0;
  maps >> std::hex;
  for (std::string rest; maps >> begin >> dash >> end; std::getline(maps, rest))
    if (begin == start) return end - begin;
  return 0;
}

// Whether this kernel can poison through a descriptor whose opener did not say.
bool kernel_has_poison() {
  try {
    return Userfault::open({}).has_poison();
  } catch (const std::system_error&) {
    return false;
  }
}

// The other dialect has neither a length nor a word for what the descriptor can do, nor an end of
// the connection that would keep threads from sleeping: without poison it can't be served.
void complete(Offer& offer, const Peer& peer, uint64_t region_bytes) {
  offer.pid = static_cast<uint32_t>(peer.pid);
  const uint64_t mapped = mapped_bytes(peer, offer.start);
  offer.length = mapped == 0 ? region_bytes : std::min(mapped, region_bytes);
  offer.has_poison = kernel_has_poison();
  if (!offer.has_poison) throw Refusal(Verdict::no_userfaultfd);
}

void check_region(const Offer& offer, uint64_t region_bytes) {
  if (!lies_within(offer.region_offset, offer.length, region_bytes))
    throw Refusal(Verdict::out_of_bounds);
}

}  // namespace

FaultSession::FaultSession(const ServedFaults& served, SharedGuide& guide,
                           std::unique_ptr<Stream> connection, const FileDescriptor& ending)
    : served_(served),
      guide_(guide),
      connection_(std::move(connection)),
      ending_(ending),
      thread_([this] { run(); }) {}

SessionTotals FaultSession::totals() const {
  MutexLock lock(mutex_);
  return pager_ == nullptr ? totals_ : totals_of(*pager_);
}

void FaultSession::tell(const std::string& sentence) const {
  if (served_.tell) served_.tell(name_ + ": " + sentence);
}

void FaultSession::run() noexcept {
  name_ = "an application";
  try {
    const Peer peer = peer_of(connection_->descriptor());
    name_ = name_of(peer);
    serve(peer, take_offer(peer));
  } catch (const Refusal& refusal) {
    tell(std::string("refused: ") + refusal.what());
    answer(refusal.verdict);
  } catch (const std::system_error& problem) {
    if (problem.code() != std::errc::operation_canceled) tell(problem.what());
  } catch (const std::exception& problem) {
    tell(problem.what());
  }
  connection_->shut_down();
  ended_ = true;
}

// Sixteen bytes into an empty socket buffer: they go at once, or the peer is gone.
void FaultSession::answer(Verdict verdict) {
  if (served_.dialect != Dialect::memsync) return;
  const auto bytes = encode_verdict(verdict);
  ::send(connection_->descriptor(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

ReceivedOffer FaultSession::take_offer(const Peer& peer) {
  if (peer.user != served_.user && peer.user != 0) throw Refusal(Verdict::not_allowed);
  ReceivedOffer received = receive_offer(connection_->descriptor(), served_.dialect, ending_,
                                         after(served_.offer_limit));
  if (served_.dialect == Dialect::userfaultfd_go)
    complete(received.offer, peer, served_.region_bytes);
  if (received.offer.pid != static_cast<uint32_t>(peer.pid)) throw Refusal(Verdict::wrong_process);
  check_region(received.offer, served_.region_bytes);
  return received;
}

void FaultSession::serve(const Peer& peer, ReceivedOffer received) {
  const Offer& offer = received.offer;
  std::optional<ForeignMemory> memory;
  try {
    memory.emplace(std::move(received.userfault), offer.has_poison, offer.start, offer.length, peer,
                   connection_->descriptor());
  } catch (const std::system_error&) {
    throw Refusal(Verdict::no_userfaultfd);
  }
  std::unique_ptr<RegionService> source;
  try {
    source = served_.connect();
  } catch (const std::exception& problem) {
    tell(problem.what());
    throw Refusal(Verdict::no_source);
  }
  source = std::make_unique<ShiftedSource>(std::move(source), offer.region_offset);
  const ByteRange part{offer.region_offset, offer.length};
  std::vector<UnitIndex> touches;
  Pager pager(*memory, {.size_bytes = offer.length, .chunk_bytes = page_bytes()}, served_.settings,
              *source, guide_.guidance(part, touches));
  {
    MutexLock lock(mutex_);
    pager_ = &pager;
  }
  answer(Verdict::served);
  if (wait_for_goodbye(peer)) memory->disown();
  pager.stop();
  source.reset();  // completes what is open; nothing refers to the pager afterwards
  conclude(pager, part, touches);
}

// An application that got less than it asked for has touched only a part of what the next one will.
void FaultSession::conclude(const Pager& pager, const ByteRange& part,
                            std::span<const UnitIndex> touches) {
  {
    MutexLock lock(mutex_);
    totals_ = totals_of(pager);
    pager_ = nullptr;
  }
  tell("ended after " + std::to_string(totals().faults) + " faults");
  try {
    pager.rethrow_failure();
    guide_.add(part, touches);
  } catch (const std::exception& problem) {
    tell(problem.what());
  }
}

// Whether the application ended the connection. In the other dialect a connection says nothing
// after the offer, and may end at once.
bool FaultSession::wait_for_goodbye(const Peer& peer) const noexcept {
  const bool connection_counts = served_.dialect == Dialect::memsync;
  std::array<pollfd, 3> waits{{{ending_.get(), POLLIN, 0},
                               {peer.process.get(), POLLIN, 0},
                               {connection_counts ? connection_->descriptor() : -1, POLLIN, 0}}};
  // Bytes after the offer end the session as well: there are none in the protocol.
  while (::poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
  }
  return waits[2].revents != 0;
}

}  // namespace memsync::userfaultfd
