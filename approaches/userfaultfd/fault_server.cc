#include "approaches/userfaultfd/fault_server.h"

#include <array>
#include <stdexcept>
#include <sys/socket.h>

namespace memsync::userfaultfd {

namespace {

ServedFaults checked(ServedFaults served) {
  FaultServer::check(served.settings);
  return served;
}

}  // namespace

void FaultServer::check(const Settings& settings) {
  if (settings.handler == Handler::sigbus)
    throw std::invalid_argument(
        "option 'handler': 'sigbus' answers in the thread that touches, which is another "
        "process's; take poll or spin");
  if (settings.writes == Writes::back)
    throw std::invalid_argument(
        "option 'writes': what another process writes stays there; 'back' can't be had");
}

FaultServer::FaultServer(std::unique_ptr<Listener> listener, ServedFaults served)
    : listener_(std::move(listener)),
      served_(checked(std::move(served))),
      guide_(served_.settings, served_.region_bytes, served_.options),
      acceptor_([this] { accept_all(); }) {}

FaultServer::~FaultServer() {
  listener_->close();
  signal_event(ending_);
  acceptor_.join();
  std::list<FaultSession> ending;  // joined without the lock: their last words may ask for totals()
  {
    MutexLock lock(mutex_);
    ending.swap(sessions_);
  }
  ending.clear();
  try {
    guide_.keep();
  } catch (const std::exception& problem) {
    if (served_.tell) served_.tell(std::string("no trace is kept: ") + problem.what());
  }
}

void FaultServer::accept_all() {
  while (true) {
    try {
      auto connection = listener_->accept(Deadline::max());
      if (connection == nullptr) return;
      add(std::move(connection));
    } catch (const std::system_error&) {
      // One connection or thread that could not be made (too many open files, say). The pause keeps
      // a lasting shortage from becoming a busy loop.
      sleep_until_deadline(after(std::chrono::milliseconds(10)));
    }
  }
}

void FaultServer::add(std::unique_ptr<Stream> connection) {
  {
    MutexLock lock(mutex_);
    for (auto session = sessions_.begin(); session != sessions_.end();) {
      if (!session->has_ended()) {
        ++session;
        continue;
      }
      count(*session, past_);
      session = sessions_.erase(session);
    }
    if (sessions_.size() < kSessionsMax) {
      sessions_.emplace_back(served_, guide_, std::move(connection), ending_);
      return;
    }
  }
  if (served_.tell) served_.tell("an application was refused: " + verdict_text(Verdict::too_many));
  const auto bytes = encode_verdict(Verdict::too_many);
  if (served_.dialect == Dialect::memsync)
    ::send(connection->descriptor(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void FaultServer::count(const FaultSession& session, Totals& totals) {
  const SessionTotals of_one = session.totals();
  totals.applications += of_one.was_served ? 1 : 0;
  totals.faults += of_one.faults;
  totals.bytes_received += of_one.bytes_received;
  totals.bytes_lost += of_one.bytes_lost;
}

FaultServer::Totals FaultServer::totals() const {
  MutexLock lock(mutex_);
  Totals totals = past_;
  for (const FaultSession& session : sessions_) count(session, totals);
  return totals;
}

}  // namespace memsync::userfaultfd
