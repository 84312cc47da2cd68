// What an agent does of an update: changes, sync(), and the look for another's changes.
#include <stdexcept>

#include "harness/agent_session.h"
#include "lib/os/error.h"

namespace memsync {

namespace {

// Of a destination that looks for changes: what its lag is exact to, and what it costs.
constexpr auto kLookInterval = std::chrono::milliseconds(1);

}  // namespace

nlohmann::json AgentSession::dirty_and_sync(const nlohmann::json& request) {
  const auto changes =
      dirty_round(geometry_, workload_.dirty_ratio.value(), seed_, request.at("round"));
  const Deadline before = Clock::now();
  apply_changes(changes, memory());
  const Deadline changed = Clock::now();
  const double write_s = seconds(changed - before);
  nlohmann::json synced = sync();
  synced["write_s"] = write_s;
  synced["changed_ns"] = changed.time_since_epoch().count();
  return synced;
}

nlohmann::json AgentSession::sync() {
  const Deadline before = Clock::now();
  const auto report = side_->sync(after(limit_));
  const double elapsed = seconds(Clock::now() - before);
  if (!report) throw std::logic_error("this approach's writes never reach the peer");
  side_->rethrow_failure();
  return {{"sync_s", elapsed},
          {"payload_B", report->payload_bytes},
          {"chunks_moved", report->chunks_moved}};
}

nlohmann::json AgentSession::expect_round(const nlohmann::json& request) {
  awaited_ = dirty_round(geometry_, workload_.dirty_ratio.value(), seed_, request.at("round"));
  auto work = [&, bytes = memory()] {
    for (ByteChange& change : awaited_) change.flip ^= bytes[change.offset];
  };
  if (const AccessFault fault = guarded(work)) throw_access_fault(fault);
  return nlohmann::json::object();
}

// What has been there once is not looked at again: the next round comes after all of this one.
nlohmann::json AgentSession::await_round() {
  const Deadline end = after(limit_);
  size_t seen = 0;
  while (true) {
    auto work = [&, bytes = memory()] {
      while (seen < awaited_.size() && bytes[awaited_[seen].offset] == awaited_[seen].flip) ++seen;
    };
    if (const AccessFault fault = guarded(work)) throw_access_fault(fault);
    const Deadline now = Clock::now();
    if (seen == awaited_.size()) return {{"equal_ns", now.time_since_epoch().count()}};
    side_->rethrow_failure();
    if (now > end)
      throw_errno("waiting for a round's changes; " + std::to_string(seen) + " of " +
                      std::to_string(awaited_.size()) + " came",
                  ETIMEDOUT);
    sleep_until_deadline(now + kLookInterval);
  }
}

}  // namespace memsync
