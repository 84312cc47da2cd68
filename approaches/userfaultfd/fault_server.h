// Answers the page faults of other processes: whoever connects hands its userfaultfd over.
//
//   application                    FaultServer                     the region's server
//   touch a missing page
//        (asleep) ──userfaultfd──▶ session: Pager ─── read ───────▶
//        (goes on) ◀─UFFDIO_COPY── ForeignMemory ◀────bytes───────
#pragma once

#include <list>
#include <memory>
#include <thread>

#include "approaches/userfaultfd/fault_session.h"

namespace memsync::userfaultfd {

// Each application has a session, a thread and a source of its own: one that stops, lies or dies
// harms no other. Threads: every member from any thread.
class FaultServer {
 public:
  static constexpr size_t kSessionsMax = 64;

  // What can't be done to another process's memory. Throws std::invalid_argument with one sentence.
  static void check(const Settings& settings);

  // Serves whoever connects to `listener` (of a UNIX socket) from now on. Throws as check(), and
  // std::invalid_argument with one sentence for a trace or list that is not of this region.
  FaultServer(std::unique_ptr<Listener> listener, ServedFaults served);
  // Ends all sessions: threads that wait for missing pages get SIGBUS. Keeps the trace, where one
  // was to be recorded.
  ~FaultServer();

  struct Totals {
    uint64_t applications = 0;  // that were served
    uint64_t faults = 0;
    uint64_t bytes_received = 0;
    uint64_t bytes_lost = 0;
  };
  Totals totals() const EXCLUDES(mutex_);

 private:
  void accept_all();
  void add(std::unique_ptr<Stream> connection) EXCLUDES(mutex_);
  static void count(const FaultSession& session, Totals& totals);

  const std::unique_ptr<Listener> listener_;
  const ServedFaults served_;
  SharedGuide guide_;
  const FileDescriptor ending_ = FileDescriptor::event();
  mutable Mutex mutex_;
  Totals past_ GUARDED_BY(mutex_);  // of the sessions that are forgotten
  std::list<FaultSession> sessions_ GUARDED_BY(mutex_);
  std::jthread acceptor_;  // last: ends before what it uses
};

}  // namespace memsync::userfaultfd
