// The application whose memory is kept in sync: a reader of regions, and a writer on a schedule.
//
//   schedule ──▶ operation k: read the slot, remember its hash, write new bytes     every
//   touch/rate
//            └─▶ observation: read 8 bytes, remember their hash                     every 500 us
//
// What it does is a function of seed and operation number, so that whoever knows how many
// operations were done can replay them and say what each must have read.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "harness/access_pattern.h"
#include "harness/suite.h"
#include "lib/backend/backend.h"
#include "lib/os/access_faults.h"
#include "lib/os/clock.h"
#include "lib/os/mutex.h"
#include "lib/region/digest.h"

namespace memsync {

// What a reader found.
struct ReadOutcome {
  uint64_t accesses = 0;
  uint64_t checked_bytes = 0;
  std::optional<Deadline> first_access;  // end of it
  std::optional<Deadline> last_access;
  std::vector<uint32_t> latencies_ns;  // one per access, saturated
  // Of all bytes in the order of the accesses; of several threads: of their digests as hex.
  Digest digest;
  AccessFault fault;  // set when an access ended in a signal
};

// Reads `memory` as the workload says: its number of accesses, or until its duration has passed.
// Every byte goes into the digest, so none can be left out. Each of its threads has its own part of
// the accesses; they start together. `draw` as of AccessPattern.
ReadOutcome read_region(std::span<const std::byte> memory, const Workload& workload, uint64_t seed,
                        uint64_t draw = 0);
// The digest that read_region() must give after `accesses` accesses of bytes from `reference`.
Digest expected_read_digest(Reader& reference, const Workload& workload, uint64_t seed,
                            uint64_t accesses, uint64_t draw = 0);

// Which host an operation belongs to: each has a number range of its own, so that the destination
// need not be told where the source stopped.
enum class Phase : uint8_t { source, destination };

// One thing the application does, and when, counted from the start of its schedule.
struct Operation {
  enum class Kind : uint8_t { write, observe };
  Kind kind = Kind::write;
  uint64_t number = 0;  // of its kind
  Nanoseconds due{};
};

// Writes and observations in the order of their due times: the same for everybody.
class OperationSequence {
 public:
  static constexpr Nanoseconds kObservationInterval = std::chrono::microseconds(500);

  explicit OperationSequence(Nanoseconds write_interval) : write_interval_(write_interval) {}
  Operation next();

 private:
  Nanoseconds write_interval_;
  uint64_t writes_ = 0;
  uint64_t observations_ = 0;
};

// What the application did, small enough to be told: its operations follow from their number.
struct ApplicationLog {
  static constexpr size_t kRemembered = 4096;  // operations whose own time and hash are kept

  uint64_t operations = 0;
  std::vector<int64_t> done_ns;       // CLOCK_MONOTONIC, of the first kRemembered
  std::vector<uint64_t> read_hashes;  // of the bytes found, likewise
  uint64_t folded_hash = 0;           // of all bytes found, in order
  int64_t last_done_ns = 0;
  std::vector<uint32_t> latencies_ns;  // from the due time, one per operation, saturated
};
uint64_t fold_hash(uint64_t folded, uint64_t read_hash);

// The writer's operations, without time: what they touch and what they write.
class WriterScript {
 public:
  WriterScript(const Workload& workload, uint64_t seed);
  OperationSequence operations() const { return OperationSequence(write_interval_); }
  ByteRange write_range(Phase phase, uint64_t number) const;
  ByteRange observed_range(Phase phase, uint64_t number) const;
  ByteRange range(Phase phase, const Operation& operation) const;
  void fill(Phase phase, uint64_t number, std::span<std::byte> into) const;
  uint64_t region_bytes() const noexcept { return region_bytes_; }

 private:
  AccessPattern source_writes_;
  AccessPattern destination_writes_;
  uint64_t seed_;
  uint64_t region_bytes_;
  Nanoseconds write_interval_;
};

// Runs the script on `memory` in a thread of its own, made at once and parked until resume().
// Threads: resume() and suspend() from any; the log when suspended.
class ScheduledApplication {
 public:
  // `memory` outlives this.
  ScheduledApplication(std::span<std::byte> memory, const WriterScript& script, Phase phase);
  ~ScheduledApplication();

  void resume();   // starts or goes on; the schedule starts at the first call
  void suspend();  // returns when no operation is under way; idempotent
  const ApplicationLog& log() const noexcept { return log_; }
  // The signal that ended it, if one did.
  AccessFault fault() const noexcept;

 private:
  void run(const std::stop_token& stop);
  // Waits for the earlier of the two schedules; false when asked to stop or park.
  bool wait_until_due(const std::stop_token& stop, Deadline due);
  void perform(const Operation& operation, Deadline due);

  std::span<std::byte> memory_;
  WriterScript script_;
  Phase phase_;
  ApplicationLog log_;
  std::vector<std::byte> scratch_;

  mutable Mutex mutex_;
  Condition changed_;
  bool wanted_ GUARDED_BY(mutex_) = false;  // may run
  bool parked_ GUARDED_BY(mutex_) = true;   // does not run
  AccessFault fault_ GUARDED_BY(mutex_);
  std::jthread thread_;  // last: ends before what it uses
};

// What replaying both phases says.
struct ReplayVerdict {
  std::string problem;                      // "" when every operation read what it must
  std::optional<int64_t> first_correct_ns;  // the destination's first correct operation
  uint64_t checked_bytes = 0;
  Digest final_digest;  // the region as it must be at the end
};

// Replays the source's operations over the initial content, then the destination's, whose log says
// what each of them read.
ReplayVerdict replay_handover(Reader& initial, const WriterScript& script,
                              uint64_t source_operations, const ApplicationLog& destination);

}  // namespace memsync
