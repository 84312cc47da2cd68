// The application, its replay, and memory that answers with signals.
#include "harness/application.h"

#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "harness/dirty_rounds.h"
#include "harness/expectations.h"
#include "harness/workload_wire.h"
#include "lib/backend/stores.h"

namespace memsync {
namespace {

using namespace std::chrono_literals;

Workload reading(uint64_t region, AccessOrder order, std::optional<uint64_t> accesses) {
  Workload workload;
  workload.region_bytes = region;
  workload.chunk_bytes = 4096;
  workload.touch_bytes = std::min<uint64_t>(4096, region);
  workload.access.order = order;
  workload.accesses = accesses;
  return workload;
}

Workload writing(uint64_t region, uint64_t rate) {
  Workload workload = reading(region, AccessOrder::random, std::nullopt);
  workload.does = WorkloadKind::handover;
  workload.writer.emplace();
  workload.writer->bytes_per_second = rate;
  workload.writer->span_bytes = region;
  workload.writer->access.order = AccessOrder::random;
  return workload;
}

std::vector<std::byte> bytes_of(Reader& reader) {
  std::vector<std::byte> bytes(reader.size_bytes());
  reader.read_at(bytes, 0);
  return bytes;
}

TEST(Reading, GivesEachThreadItsOwnPart) {
  for (const uint64_t threads : {2ULL, 3ULL, 8ULL, 40ULL})
    for (const auto order : {AccessOrder::sequential, AccessOrder::random}) {
      Workload workload = reading(100'003, order, std::nullopt);
      workload.threads = threads;
      PatternReader content(ContentKind::random, 3, workload.region_bytes);
      auto memory = bytes_of(content);
      const ReadOutcome outcome = read_region(memory, workload, 3);
      EXPECT_EQ(outcome.accesses, 25u) << threads;
      EXPECT_EQ(outcome.latencies_ns.size(), 25u);
      EXPECT_EQ(outcome.digest, expected_read_digest(content, workload, 3, 25));
      if (order == AccessOrder::sequential) {
        EXPECT_EQ(outcome.checked_bytes, 100'003u);
      }
      ASSERT_TRUE(outcome.first_access && outcome.last_access);
      EXPECT_LE(*outcome.first_access, *outcome.last_access);
      const AccessPattern pattern(workload.access, workload.region_bytes, workload.touch_bytes, 3);
      memory[pattern.at(24).offset] ^= std::byte{1};  // of the last thread that reads anything
      EXPECT_NE(read_region(memory, workload, 3).digest, outcome.digest);
    }
}

TEST(Reading, NamesTheFaultOfAnyThread) {
  install_fault_guard();
  Mapping memory = Mapping::anonymous(64 * 4096, Population::at_once);
  Workload workload = reading(64 * 4096, AccessOrder::sequential, std::nullopt);
  workload.threads = 4;
  ASSERT_EQ(::mprotect(memory.bytes().data() + 40 * 4096, 4096, PROT_NONE), 0);
  const ReadOutcome outcome = read_region(memory.bytes(), workload, 1);
  EXPECT_EQ(outcome.fault.signal, SIGSEGV);
  EXPECT_EQ(outcome.fault.address, reinterpret_cast<uintptr_t>(memory.bytes().data()) + 40 * 4096);
  EXPECT_EQ(outcome.accesses, 48u + 8u);  // the other three go on to their ends
}

TEST(Reading, FindsTheExpectedDigestForEveryOrderAndSize) {
  for (const uint64_t region : {1ULL, 4095ULL, 4097ULL, 100'003ULL})
    for (const auto order : {AccessOrder::sequential, AccessOrder::random}) {
      const Workload workload = reading(region, order, std::nullopt);
      PatternReader content(ContentKind::random, 3, region);
      const auto memory = bytes_of(content);
      const ReadOutcome outcome = read_region(memory, workload, 3);
      EXPECT_EQ(outcome.digest, expected_read_digest(content, workload, 3, outcome.accesses))
          << region;
      EXPECT_EQ(outcome.latencies_ns.size(), outcome.accesses);
      if (order == AccessOrder::sequential) {
        EXPECT_EQ(outcome.checked_bytes, region);
        EXPECT_EQ(outcome.digest, digest_of(memory));
      }
    }
}

TEST(Reading, SeesASingleWrongByte) {
  const Workload workload = reading(100'003, AccessOrder::sequential, std::nullopt);
  PatternReader content(ContentKind::text, 3, 100'003);
  auto memory = bytes_of(content);
  memory.back() ^= std::byte{1};
  EXPECT_NE(read_region(memory, workload, 3).digest,
            expected_read_digest(content, workload, 3, 25));
}

TEST(Reading, ForATimeEndsAfterIt) {
  Workload workload = reading(8192, AccessOrder::random, std::nullopt);
  workload.for_duration = 20ms;
  const std::vector<std::byte> memory(8192);
  const Deadline before = Clock::now();
  const ReadOutcome outcome = read_region(memory, workload, 1);
  EXPECT_GE(Clock::now() - before, 20ms);
  EXPECT_GT(outcome.accesses, 2u);
}

TEST(Reading, OfAPageThatAnswersWithASignalSaysWhere) {
  install_fault_guard();
  const Mapping mapping = Mapping::anonymous(3 * 4096);
  ASSERT_EQ(::mprotect(mapping.bytes().data() + 8192, 4096, PROT_NONE), 0);
  const ReadOutcome outcome =
      read_region(mapping.bytes(), reading(3 * 4096, AccessOrder::sequential, std::nullopt), 1);
  EXPECT_EQ(outcome.accesses, 2u);
  EXPECT_EQ(outcome.fault.signal, SIGSEGV);
  EXPECT_EQ(outcome.fault.address, reinterpret_cast<uintptr_t>(mapping.bytes().data()) + 8192);
}

TEST(OperationSequence, MergesTheTwoSchedulesByTime) {
  OperationSequence operations(300us);
  std::vector<std::pair<Operation::Kind, int64_t>> got;
  for (int i = 0; i < 5; ++i) {
    const Operation operation = operations.next();
    got.emplace_back(operation.kind, operation.due / 1us);
  }
  using Kind = Operation::Kind;
  EXPECT_EQ(got, (std::vector<std::pair<Kind, int64_t>>{{Kind::write, 0},
                                                        {Kind::observe, 0},
                                                        {Kind::write, 300},
                                                        {Kind::observe, 500},
                                                        {Kind::write, 600}}));
}

// Runs it until it has done so many operations: a busy machine may keep it waiting.
void run_until(ScheduledApplication& application, uint64_t operations) {
  while (application.log().operations < operations) {
    application.resume();
    sleep_until_deadline(after(3ms));
    application.suspend();
  }
}

// What a hand-over is when nothing goes wrong: the same memory, first one host's phase, then the
// other's.
struct BothPhases {
  explicit BothPhases(const Workload& workload)
      : script(workload, 5),
        content(ContentKind::random, 5, workload.region_bytes),
        memory(bytes_of(content)) {
    ScheduledApplication source(memory, script, Phase::source);
    run_until(source, 20);
    source_operations = source.log().operations;
    ScheduledApplication destination(memory, script, Phase::destination);
    run_until(destination, 20);
    log = destination.log();
  }
  WriterScript script;
  PatternReader content;
  std::vector<std::byte> memory;
  uint64_t source_operations = 0;
  ApplicationLog log;
};

TEST(Replay, AgreesWithWhatBothPhasesDid) {
  BothPhases done(writing(200'003, 40'000'000));
  const ReplayVerdict verdict =
      replay_handover(done.content, done.script, done.source_operations, done.log);
  EXPECT_EQ(verdict.problem, "");
  EXPECT_EQ(verdict.first_correct_ns, done.log.done_ns[0]);
  EXPECT_EQ(verdict.final_digest, digest_of(done.memory));
}

TEST(Replay, SeesAnOperationThatWasLostAtTheSource) {
  BothPhases done(writing(8192, 40'000'000));  // two slots: each operation matters to the next
  const ReplayVerdict verdict =
      replay_handover(done.content, done.script, done.source_operations - 5, done.log);
  EXPECT_NE(verdict.problem, "");
}

TEST(Replay, SeesAWrongByteReadLateByTheFoldedHash) {
  BothPhases done(writing(8192, 40'000'000));
  done.log.done_ns.resize(1);
  done.log.read_hashes.resize(1);
  EXPECT_EQ(replay_handover(done.content, done.script, done.source_operations, done.log).problem,
            "");
  done.log.folded_hash ^= 1;
  EXPECT_THAT(replay_handover(done.content, done.script, done.source_operations, done.log).problem,
              testing::HasSubstr("after the first 1 read wrong bytes"));
}

TEST(Application, DoesNothingBetweenSuspendAndResume) {
  const Workload workload = writing(65'536, 400'000'000);
  std::vector<std::byte> memory(65'536);
  ScheduledApplication application(memory, WriterScript(workload, 1), Phase::source);
  application.suspend();  // before the first resume: nothing to wait for
  run_until(application, 1);
  const uint64_t operations = application.log().operations;
  const Digest before = digest_of(memory);
  sleep_until_deadline(after(5ms));
  EXPECT_EQ(application.log().operations, operations);
  EXPECT_EQ(digest_of(memory), before);
  run_until(application, operations + 1);
}

TEST(Application, ThatWasHeldUpCountsFromTheScheduledTime) {
  const Workload workload = writing(65'536, 40'000'000);
  std::vector<std::byte> memory(65'536);
  ScheduledApplication application(memory, WriterScript(workload, 1), Phase::source);
  run_until(application, 1);  // its schedule begins with its first operation
  sleep_until_deadline(after(30ms));
  application.resume();
  sleep_until_deadline(after(100ms));
  application.suspend();
  const auto& latencies = application.log().latencies_ns;
  // The operations that were due in the pause are late by up to its length: no omission.
  EXPECT_GE(*std::max_element(latencies.begin(), latencies.end()), 25'000'000u);
  EXPECT_GT(
      std::count_if(latencies.begin(), latencies.end(), [](uint32_t ns) { return ns > 5'000'000; }),
      20);
}

TEST(DirtyRounds, ChangeTheShareAskedForInDifferentChunks) {
  const Geometry geometry{1'000'003, 4096};
  const auto changes = dirty_round(geometry, 0.1, 7, 0);
  EXPECT_EQ(changes.size(), 25u);  // of 245 chunks
  for (size_t i = 1; i < changes.size(); ++i)
    EXPECT_LT(geometry.chunk_of(changes[i - 1].offset), geometry.chunk_of(changes[i].offset));
  std::vector<std::byte> region(1'000'003);
  apply_changes(changes, region);
  EXPECT_EQ(
      std::count_if(region.begin(), region.end(), [](std::byte b) { return b != std::byte{0}; }),
      25);
}

TEST(DirtyRounds, DifferByRoundAndNeverChangeNothing) {
  const Geometry geometry{1, 4096};
  EXPECT_EQ(dirty_round(geometry, 0.0001, 7, 0).size(), 1u);
  const Geometry large{10'000'000, 4096};
  EXPECT_NE(dirty_round(large, 0.01, 7, 0)[0].offset, dirty_round(large, 0.01, 7, 1)[0].offset);
}

TEST(WorkloadWire, CarriesAWorkloadThere) {
  Workload workload = writing(123'457, 20'000'000);
  workload.access.order = AccessOrder::zipf;
  workload.access.theta = 0.9;
  workload.dirty_ratio = 0.25;
  workload.for_duration = 3s;
  const Workload back = workload_from_json(nlohmann::json::parse(to_json(workload).dump()));
  EXPECT_EQ(to_json(back), to_json(workload));
  EXPECT_EQ(back.writer->span_bytes, 123'457u);
  EXPECT_EQ(back.for_duration, 3s);
}

}  // namespace
}  // namespace memsync
