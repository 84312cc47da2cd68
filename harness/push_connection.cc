#include "harness/push_connection.h"

#include <algorithm>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "harness/push_report.h"
#include "harness/stop_requests.h"

namespace memsync {

namespace {

constexpr Nanoseconds kFirstConnect = std::chrono::seconds(5);
constexpr Nanoseconds kAttempt = std::chrono::seconds(1);
constexpr Nanoseconds kGreeting = std::chrono::seconds(10);
constexpr Nanoseconds kPauseMax = std::chrono::seconds(5);
constexpr unsigned kCorruptMax = 3;

}  // namespace

// On UNIX sockets these fail, and nobody vanishes there. Source: tcp(7).
void notice_dead_peer(const Stream& stream) noexcept {
  const auto set = [&](int level, int name, int value) {
    ::setsockopt(stream.descriptor(), level, name, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
  // Of what was sent and not acknowledged, or waits while the peer's window is shut.
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 120'000);
}

PushConnection::PushConnection(const PushPlan& plan,
                               std::vector<std::unique_ptr<mmap_push::PathSource>>& sources,
                               mmap_push::Sender::Watch watch, std::stop_token cancelled)
    : plan_(plan),
      sources_(sources),
      watch_(std::move(watch)),
      cancelled_(std::move(cancelled)),
      network_(open_network(plan.address, plan.tls, tell_push)) {}

PushConnection::~PushConnection() {
  close();
}

void PushConnection::close() noexcept {
  on_cancel_.reset();
  sender_.reset();
  stream_.reset();
}

void PushConnection::connect() {
  if (sender_) return;
  const Nanoseconds patience = was_connected_ ? plan_.patience : kFirstConnect;
  if (!patient_until_) patient_until_ = after(patience);
  open(*patient_until_);
  connected_at_ = Clock::now();
  if (was_connected_) tell_push("connected again; it goes on where it stopped");
  was_connected_ = true;
}

void PushConnection::open(Deadline deadline) {
  stream_ = network_->connect("", "push", std::min(deadline, after(kAttempt)));
  notice_dead_peer(*stream_);
  on_cancel_.emplace(cancelled_, [this] { stream_->shut_down(); });
  auto sender =
      std::make_unique<mmap_push::Sender>(*stream_, plan_.settings.sender, after(kGreeting));
  for (size_t i = 0; i < sources_.size(); ++i)
    sender->offer(plan_.files[i].name, *sources_[i], Deadline::max());
  sender->watch(watch_);
  sender_ = std::move(sender);
}

void PushConnection::give_up(const std::string& problem) const {
  throw PushFailed(was_connected_
                       ? problem
                       : fmt::format("{}; is `memsync receive DIR --listen {}` running there?",
                                     problem, plan_.address));
}

void PushConnection::take_break(const std::system_error& problem) {
  const bool was_open = sender_ != nullptr;
  close();
  if (cancelled_.stop_requested()) throw Interrupted();
  const std::string words = problem.what();
  if (dynamic_cast<const mmap_push::SourceFailure*>(&problem) != nullptr) throw PushFailed(words);
  if (dynamic_cast<const mmap_push::PeerFailure*>(&problem) != nullptr) {
    // Busy: the receiver may not know yet that the connection before this one is no more.
    const bool may_pass =
        was_connected_ && (problem.code().value() == EBUSY ||
                           (problem.code().value() == EBADMSG && ++times_corrupt_ < kCorruptMax));
    if (!may_pass) throw PushFailed(words);
  } else if (problem.code().category() != std::generic_category() ||
             problem.code().value() == EPROTO) {
    throw PushFailed(words);  // a peer of another kind, a file that has grown too long
  }
  if (was_open) {
    ++times_broken_;
    // A receiver that only greets, again and again, is as good as none.
    if (is_first_break_ || connected_at_ + plan_.patience < Clock::now()) patient_until_.reset();
    is_first_break_ = false;
    if (Clock::now() >= patient_until_.value_or(Deadline::max())) give_up(words);
    tell_push(fmt::format("the connection broke ({}); trying again for {}", words,
                          format_duration(plan_.patience)));
  } else if (Clock::now() >= patient_until_.value_or(Deadline::min())) {
    give_up(words);
  }
  if (wait_until(after(pause_), cancelled_)) throw Interrupted();
  pause_ = std::min(pause_ * 2, kPauseMax);
}

}  // namespace memsync
