// Random sessions against a model: readers, writers, hand-overs, drops, by every way of handling,
// tracking and prefetching. MEMSYNC_DIFFERENTIAL_SEEDS says how many (default 100).
#include <cstdlib>
#include <random>
#include <sys/mman.h>
#include <thread>

#include "approaches/userfaultfd/two_hosts.h"
#include "lib/os/mutex.h"

namespace memsync {
namespace userfaultfd {
namespace {

using namespace std::chrono_literals;

// Every slot of 8 bytes has one writer on each host, which only counts it up. Then a reader may
// find any value between two that it knows, and the end is known exactly.
constexpr uint64_t kSlotStride = 512;

using Slot = std::atomic<uint64_t>;

class Differential : public TwoHosts {
 protected:
  using Random = std::mt19937_64;

  static std::string one_of(Random& random, std::initializer_list<const char*> values) {
    return *(values.begin() + static_cast<ptrdiff_t>(random() % values.size()));
  }
  static std::map<std::string, std::string> random_options(Random& random) {
    std::map<std::string, std::string> options{
        {"prefetch", one_of(random, {"none", "window"})},
        {"unit", one_of(random, {"4KiB", "16KiB", "64KiB", "256KiB"})},
        {"window", one_of(random, {"256KiB", "1MiB", "16MiB"})},
        {"handler", one_of(random, {"poll", "sigbus", "poll"})},
        {"handlers", one_of(random, {"1", "2", "4"})},
        {"track", one_of(random, {"scan", "faults", "none"})}};
    if (options["track"] != "none") options["share"] = one_of(random, {"0%", "30%", "100%"});
    return options;
  }

  Slot& source_slot(uint64_t slot) const { return slot_of(source_->region().memory, slot); }
  Slot& destination_slot(uint64_t slot) const {
    return slot_of(destination_->region().memory, slot);
  }
  static Slot& slot_of(std::span<std::byte> memory, uint64_t slot) {
    return *reinterpret_cast<Slot*>(&memory[slot * kSlotStride]);
  }

  void session(uint64_t seed);
  void count_up_at_source(uint64_t seed);
  void use_at_destination(uint64_t seed, uint64_t thread);
  void disturb(uint64_t seed);
  void use_slot(uint64_t slot, Random& random);

  std::string told_;  // what the threads' failures name: a trace is of its own thread alone
  uint64_t slots_ = 0;
  std::vector<Slot> at_source_;       // the model: what the source has counted to
  std::vector<Slot> at_destination_;  // what the destination has added since it owns
  std::atomic<bool> source_runs_ = true;
  std::atomic<bool> owns_ = false;
  std::atomic<bool> ends_ = false;
  Mutex dropping_;
  bool may_drop_ GUARDED_BY(dropping_) = true;
};

constexpr uint64_t kThreads = 3;

void Differential::count_up_at_source(uint64_t seed) {
  Random random(seed);
  while (source_runs_) {
    const uint64_t slot = random() % slots_;
    ++at_source_[slot];  // before the bytes: what is found is never more than this
    ++source_slot(slot);
  }
}

void Differential::use_slot(uint64_t slot, Random& random) {
  if (!owns_) {
    const uint64_t found = destination_slot(slot);
    ASSERT_LE(found, at_source_[slot]) << "slot " << slot << " never held this" << told_;
    return;
  }
  ASSERT_EQ(destination_slot(slot), at_source_[slot] + at_destination_[slot])
      << "slot " << slot << " after the hand-over" << told_;
  if (random() % 2 == 0) {
    ++at_destination_[slot];
    ++destination_slot(slot);
  }
}

// Threads have slots of their own, on pages of everybody.
void Differential::use_at_destination(uint64_t seed, uint64_t thread) {
  Random random(seed);
  while (!ends_) {
    const uint64_t start = random() % slots_ / kThreads * kThreads;
    const uint64_t run = random() % 4 == 0 ? 64 : 1;  // at times sequential
    for (uint64_t i = 0; i < run; ++i)
      if (const uint64_t slot = start + i * kThreads + thread; slot < slots_)
        use_slot(slot, random);
    if (HasFatalFailure()) return;
  }
}

// Drops pages while they can be had again: a page dropped after the hand-over and not touched
// before its end is zeros from then on, as anonymous memory is.
void Differential::disturb(uint64_t seed) {
  Random random(seed);
  const auto memory = destination_->region().memory;
  while (!ends_) {
    const uint64_t page = random() % (memory.size() / 4096);
    {
      MutexLock lock(dropping_);
      if (may_drop_) ::madvise(&memory[page * 4096], 4096, MADV_DONTNEED);
    }
    std::this_thread::yield();
  }
}

void Differential::session(uint64_t seed) {
  Random random(seed);
  const uint64_t size = 4096 * (16 + random() % 400) + (random() % 2) * (random() % 4096);
  slots_ = size / kSlotStride;
  at_source_ = std::vector<Slot>(slots_);
  at_destination_ = std::vector<Slot>(slots_);
  auto options = random_options(random);
  const bool drops_pages = random() % 2 == 0;
  told_ = " of seed " + std::to_string(seed);
  for (const auto& [name, value] : options) told_ += " " + name + "=" + value;
  SCOPED_TRACE(told_);
  open(std::make_unique<MemoryBackend>(size), std::move(options));
  std::jthread source_app([this, seed] { count_up_at_source(seed); });
  last_writes_ = [&] {
    source_runs_ = false;
    source_app.join();
  };
  std::vector<std::jthread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([this, seed, thread] { use_at_destination(seed + thread, thread); });
  if (drops_pages) threads.emplace_back([this, seed] { disturb(seed); });
  // Before the threads are joined, whatever is thrown.
  const std::shared_ptr<void> end(nullptr, [this](void*) {
    ends_ = true;
    source_runs_ = false;
  });

  const auto enough = [this](uint64_t faults) {
    while (!HasFatalFailure() && *destination_->statistics().faults < faults &&
           *destination_->statistics().chunks_local < slots_ * kSlotStride / 4096)
      std::this_thread::yield();
  };
  enough(random() % 40);
  {
    MutexLock lock(dropping_);
    may_drop_ = false;
  }
  destination_->handover()->finalize(after(20s));
  owns_ = true;
  if (random() % 2 == 0) enough(random() % 20);
  destination_->handover()->settle(after(20s));
  ends_ = true;
  threads.clear();
  for (uint64_t slot = 0; slot < slots_; ++slot)
    ASSERT_EQ(destination_slot(slot), at_source_[slot] + at_destination_[slot]) << "slot " << slot;
  ASSERT_NO_THROW(destination_->rethrow_failure());
}

// A part of the seeds each, so that no part takes long on a slow machine.
constexpr uint64_t kParts = 10;

class Part : public Differential, public testing::WithParamInterface<uint64_t> {};

TEST_P(Part, OfTheSessionsGivesEveryByteTheModelHas) {
  const char* given = std::getenv("MEMSYNC_DIFFERENTIAL_SEEDS");
  const uint64_t seeds = given == nullptr ? 100 : std::strtoull(given, nullptr, 10);
  for (uint64_t seed = GetParam(); seed <= seeds && !HasFatalFailure(); seed += kParts) {
    session(seed);
    destination_.reset();
    source_.reset();
    options_.reset();
    last_writes_ = nullptr;
    source_runs_ = true;
    owns_ = ends_ = false;
    MutexLock lock(dropping_);
    may_drop_ = true;
  }
}

INSTANTIATE_TEST_SUITE_P(Differential, Part, testing::Range(uint64_t{1}, kParts + 1));

}  // namespace
}  // namespace userfaultfd
}  // namespace memsync
