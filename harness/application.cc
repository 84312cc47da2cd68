#include "harness/application.h"

#include <algorithm>
#include <cstring>
#include <latch>
#include <limits>
#include <sys/prctl.h>

#include "lib/region/content.h"

namespace memsync {

namespace {

int64_t to_ns(Deadline moment) {
  return std::chrono::duration_cast<Nanoseconds>(moment.time_since_epoch()).count();
}

uint32_t saturated(Nanoseconds duration) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(duration.count(), 0, std::numeric_limits<uint32_t>::max()));
}

// The destination's pattern is another draw of the same shape.
uint64_t phase_seed(uint64_t seed, Phase phase) {
  return phase == Phase::source ? seed : mix64(seed ^ 0xde57u);
}

AccessPattern writes_of(const Workload& workload, uint64_t seed) {
  const WriterSpec& writer = workload.writer.value();
  return {writer.access, writer.span_bytes, std::min(workload.touch_bytes, writer.span_bytes),
          seed};
}

// The reader's loop without anything that a jump out of it would lose.
struct ReadLoop {
  std::span<const std::byte> memory;
  const AccessPattern& pattern;
  uint64_t first;
  uint64_t count;
  Deadline end;
  RunningDigest& digest;
  ReadOutcome& outcome;

  void operator()() {
    Deadline before = Clock::now();
    for (uint64_t i = 0; i < count; ++i) {
      const ByteRange range = pattern.at(first + i);
      digest.update(memory.subspan(range.offset, range.length));
      const Deadline now = Clock::now();
      outcome.latencies_ns.push_back(saturated(now - before));
      if (i == 0) outcome.first_access = now;
      outcome.last_access = now;
      outcome.accesses = i + 1;
      outcome.checked_bytes += range.length;
      before = now;
      if (now >= end) return;
    }
  }
};

// The accesses of one thread of several.
struct Part {
  uint64_t first, count;
};

Part part_of(uint64_t accesses, uint64_t threads, uint64_t index) {
  const uint64_t each = accesses / threads, longer = accesses % threads;
  return {each * index + std::min(index, longer), each + (index < longer ? 1 : 0)};
}

Digest digest_of_parts(std::span<const Digest> parts) {
  if (parts.size() == 1) return parts[0];
  std::string text;
  for (const Digest& part : parts) text += to_hex(part);
  return digest_of(std::as_bytes(std::span(text)));
}

ReadOutcome read_part(std::span<const std::byte> memory, const AccessPattern& pattern, Part part,
                      Deadline end, std::latch& start) {
  ReadOutcome outcome;
  RunningDigest digest;
  outcome.latencies_ns.reserve(std::min<uint64_t>(part.count, 4U << 20));
  start.arrive_and_wait();
  ReadLoop loop{memory, pattern, part.first, part.count, end, digest, outcome};
  outcome.fault = guarded(loop);
  outcome.digest = digest.value();
  return outcome;
}

template <typename Choose>
void merge_moment(std::optional<Deadline>& whole, const std::optional<Deadline>& part,
                  Choose choose) {
  if (part) whole = whole ? choose(*whole, *part) : *part;
}

// What the threads found together.
ReadOutcome merged(std::vector<ReadOutcome> parts) {
  ReadOutcome whole = std::move(parts[0]);
  std::vector<Digest> digests{whole.digest};
  for (const ReadOutcome& part : std::span(parts).subspan(1)) {
    digests.push_back(part.digest);
    whole.accesses += part.accesses;
    whole.checked_bytes += part.checked_bytes;
    merge_moment(whole.first_access, part.first_access,
                 [](Deadline a, Deadline b) { return std::min(a, b); });
    merge_moment(whole.last_access, part.last_access,
                 [](Deadline a, Deadline b) { return std::max(a, b); });
    whole.latencies_ns.insert(whole.latencies_ns.end(), part.latencies_ns.begin(),
                              part.latencies_ns.end());
    if (!whole.fault) whole.fault = part.fault;
  }
  whole.digest = digest_of_parts(digests);
  return whole;
}

}  // namespace

ReadOutcome read_region(std::span<const std::byte> memory, const Workload& workload, uint64_t seed,
                        uint64_t draw) {
  const AccessPattern pattern(workload.access, workload.region_bytes, workload.touch_bytes, seed,
                              draw);
  const uint64_t count = workload.access_count().value_or(std::numeric_limits<uint64_t>::max());
  const Deadline end = workload.for_duration ? after(*workload.for_duration) : Deadline::max();
  std::vector<ReadOutcome> parts(workload.threads);
  std::latch start(static_cast<std::ptrdiff_t>(workload.threads));
  const auto read = [&](uint64_t index) {
    parts[index] = read_part(memory, pattern, part_of(count, workload.threads, index), end, start);
  };
  {
    std::vector<std::jthread> others;
    for (uint64_t index = 1; index < workload.threads; ++index) others.emplace_back(read, index);
    read(0);
  }
  return merged(std::move(parts));
}

Digest expected_read_digest(Reader& reference, const Workload& workload, uint64_t seed,
                            uint64_t accesses, uint64_t draw) {
  const AccessPattern pattern(workload.access, workload.region_bytes, workload.touch_bytes, seed,
                              draw);
  std::vector<Digest> digests;
  std::vector<std::byte> piece;
  for (uint64_t index = 0; index < workload.threads; ++index) {
    const Part part = part_of(accesses, workload.threads, index);
    RunningDigest digest;
    for (uint64_t i = part.first; i < part.first + part.count; ++i) {
      const ByteRange range = pattern.at(i);
      piece.resize(range.length);
      reference.read_at(piece, range.offset);
      digest.update(piece);
    }
    digests.push_back(digest.value());
  }
  return digest_of_parts(digests);
}

WriterScript::WriterScript(const Workload& workload, uint64_t seed)
    : source_writes_(writes_of(workload, phase_seed(seed, Phase::source))),
      destination_writes_(writes_of(workload, phase_seed(seed, Phase::destination))),
      seed_(seed),
      region_bytes_(workload.region_bytes),
      write_interval_(std::max<int64_t>(
          1000, static_cast<int64_t>(1e9 * static_cast<double>(workload.touch_bytes) /
                                     static_cast<double>(workload.writer->bytes_per_second)))) {}

ByteRange WriterScript::write_range(Phase phase, uint64_t number) const {
  return (phase == Phase::source ? source_writes_ : destination_writes_).at(number);
}

ByteRange WriterScript::observed_range(Phase phase, uint64_t number) const {
  // 8 bytes of what one of the writes touches, so that stale bytes are seen.
  const ByteRange slot = write_range(phase, mix64(seed_ ^ number ^ 0x0b5e) % 4096);
  return {slot.offset, std::min<uint64_t>(8, slot.length)};
}

void WriterScript::fill(Phase phase, uint64_t number, std::span<std::byte> into) const {
  fill_content(ContentKind::random, phase_seed(seed_, phase) ^ mix64(number), into, 0);
}

ByteRange WriterScript::range(Phase phase, const Operation& operation) const {
  return operation.kind == Operation::Kind::write ? write_range(phase, operation.number)
                                                  : observed_range(phase, operation.number);
}

Operation OperationSequence::next() {
  const Nanoseconds write_due = write_interval_ * static_cast<int64_t>(writes_);
  const Nanoseconds observation_due = kObservationInterval * static_cast<int64_t>(observations_);
  if (write_due <= observation_due) return {Operation::Kind::write, writes_++, write_due};
  return {Operation::Kind::observe, observations_++, observation_due};
}

uint64_t fold_hash(uint64_t folded, uint64_t read_hash) {
  return mix64(folded ^ read_hash);
}

ScheduledApplication::ScheduledApplication(std::span<std::byte> memory, const WriterScript& script,
                                           Phase phase)
    : memory_(memory), script_(script), phase_(phase) {
  log_.done_ns.reserve(ApplicationLog::kRemembered);
  log_.read_hashes.reserve(ApplicationLog::kRemembered);
  log_.latencies_ns.reserve(1 << 16);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

ScheduledApplication::~ScheduledApplication() {
  thread_.request_stop();
  changed_.notify_all();
}

void ScheduledApplication::resume() {
  {
    const MutexLock lock(mutex_);
    wanted_ = true;
  }
  changed_.notify_all();
}

void ScheduledApplication::suspend() {
  mutex_.lock();
  wanted_ = false;
  changed_.notify_all();
  while (!parked_) changed_.wait(mutex_);
  mutex_.unlock();
}

AccessFault ScheduledApplication::fault() const noexcept {
  const MutexLock lock(mutex_);
  return fault_;
}

bool ScheduledApplication::wait_until_due(const std::stop_token& stop, Deadline due) {
  const MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    if (!wanted_) {
      parked_ = true;
      changed_.notify_all();
      changed_.wait(mutex_);
      continue;
    }
    parked_ = false;
    if (Clock::now() >= due) return true;
    changed_.wait_until(mutex_, due);
  }
  parked_ = true;
  changed_.notify_all();
  return false;
}

void ScheduledApplication::run(const std::stop_token& stop) {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // the default of 50 us would blur the schedule
  if (!wait_until_due(stop, Deadline::min())) return;
  const Deadline start = Clock::now();
  OperationSequence operations = script_.operations();
  while (true) {
    const Operation operation = operations.next();
    if (!wait_until_due(stop, start + operation.due)) return;
    auto work = [&] { perform(operation, start + operation.due); };
    if (const AccessFault fault = guarded(work)) {
      const MutexLock lock(mutex_);
      fault_ = fault;
      parked_ = true;
      changed_.notify_all();
      return;
    }
  }
}

void ScheduledApplication::perform(const Operation& operation, Deadline due) {
  const ByteRange range = script_.range(phase_, operation);
  const auto slot = memory_.subspan(range.offset, range.length);
  const uint64_t found = hash64(slot);
  if (operation.kind == Operation::Kind::write) {
    scratch_.resize(range.length);
    script_.fill(phase_, operation.number, scratch_);
    std::memcpy(slot.data(), scratch_.data(), scratch_.size());
  }
  const Deadline now = Clock::now();
  ++log_.operations;
  log_.folded_hash = fold_hash(log_.folded_hash, found);
  log_.last_done_ns = to_ns(now);
  log_.latencies_ns.push_back(saturated(now - due));
  if (log_.done_ns.size() < ApplicationLog::kRemembered) {
    log_.done_ns.push_back(log_.last_done_ns);
    log_.read_hashes.push_back(found);
  }
}

namespace {

// The region in the hands of the replay.
class Replay {
 public:
  Replay(Reader& initial, const WriterScript& script)
      : script_(script), region_(script.region_bytes()) {
    initial.read_at(region_, 0);
  }
  // Returns the hash of what the operation must have found.
  uint64_t perform(Phase phase, const Operation& operation, ByteRange range) {
    const auto slot = std::span(region_).subspan(range.offset, range.length);
    const uint64_t found = hash64(slot);
    if (operation.kind == Operation::Kind::write) script_.fill(phase, operation.number, slot);
    return found;
  }
  std::span<const std::byte> region() const { return region_; }

 private:
  const WriterScript& script_;
  std::vector<std::byte> region_;
};

}  // namespace

ReplayVerdict replay_handover(Reader& initial, const WriterScript& script,
                              uint64_t source_operations, const ApplicationLog& destination) {
  Replay replay(initial, script);
  OperationSequence sequence = script.operations();
  for (uint64_t i = 0; i < source_operations; ++i) {
    const Operation operation = sequence.next();
    replay.perform(Phase::source, operation, script.range(Phase::source, operation));
  }
  ReplayVerdict verdict;
  uint64_t folded = 0;
  sequence = script.operations();
  for (uint64_t i = 0; i < destination.operations; ++i) {
    const Operation operation = sequence.next();
    const ByteRange range = script.range(Phase::destination, operation);
    const uint64_t expected = replay.perform(Phase::destination, operation, range);
    folded = fold_hash(folded, expected);
    verdict.checked_bytes += range.length;
    if (i >= destination.read_hashes.size()) continue;
    const bool right = destination.read_hashes[i] == expected;
    if (right && !verdict.first_correct_ns) verdict.first_correct_ns = destination.done_ns[i];
    if (!right && verdict.problem.empty())
      verdict.problem = "operation " + std::to_string(i) + " at the destination, at offset " +
                        std::to_string(range.offset) + ", read bytes that are not the replay's";
  }
  if (verdict.problem.empty() && folded != destination.folded_hash)
    verdict.problem = "an operation at the destination after the first " +
                      std::to_string(destination.read_hashes.size()) + " read wrong bytes";
  verdict.final_digest = digest_of(replay.region());
  return verdict;
}

}  // namespace memsync
