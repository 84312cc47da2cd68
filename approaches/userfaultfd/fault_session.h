// One application whose page faults are answered from here, from its offer to its end.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "approaches/sync_strategy.h"
#include "approaches/userfaultfd/handoff.h"
#include "approaches/userfaultfd/settings.h"
#include "approaches/userfaultfd/shared_guide.h"
#include "lib/os/mutex.h"
#include "lib/os/unix_socket.h"
#include "lib/transport/region_service.h"
#include "lib/transport/stream.h"

namespace memsync::userfaultfd {

class Pager;

// What every session of a server shares; outlives them. Calls come from the sessions' threads.
struct ServedFaults {
  Dialect dialect = Dialect::memsync;
  uint64_t region_bytes = 0;
  Settings settings{};
  const Options* options = nullptr;  // where the settings are from; for trace and first alone
  uid_t user = 0;                    // whose applications are served, beside root's
  Nanoseconds offer_limit = std::chrono::seconds(5);  // to say the whole offer
  // A service of the session's own, so that none waits for another. Throws when it can't be had.
  std::function<std::unique_ptr<RegionService>()> connect{};
  std::function<void(const std::string&)> tell{};  // one sentence; may be empty
};

struct SessionTotals {
  bool was_served = false;
  uint64_t faults = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_lost = 0;
};

// Ends when the process does, when its end of the connection closes (our dialect), or with
// `ending`. Threads: totals(), has_ended() from any.
class FaultSession {
 public:
  // `served`, `guide` and `ending` (readable: end) outlive this.
  FaultSession(const ServedFaults& served, SharedGuide& guide, std::unique_ptr<Stream> connection,
               const FileDescriptor& ending);

  bool has_ended() const noexcept { return ended_; }
  SessionTotals totals() const EXCLUDES(mutex_);

 private:
  void run() noexcept;
  void answer(Verdict verdict);
  ReceivedOffer take_offer(const Peer& peer);
  void serve(const Peer& peer, ReceivedOffer received);
  void conclude(const Pager& pager, const ByteRange& part, std::span<const UnitIndex> touches);
  bool wait_for_goodbye(const Peer& peer) const noexcept;
  void tell(const std::string& sentence) const;

  const ServedFaults& served_;
  SharedGuide& guide_;
  const std::unique_ptr<Stream> connection_;
  const FileDescriptor& ending_;
  mutable Mutex mutex_;
  const Pager* pager_ GUARDED_BY(mutex_) = nullptr;  // while it runs
  SessionTotals totals_ GUARDED_BY(mutex_);
  std::string name_;  // for people
  std::atomic<bool> ended_{false};
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace memsync::userfaultfd
