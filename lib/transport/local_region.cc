#include "lib/transport/local_region.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <deque>
#include <optional>
#include <stdexcept>

#include "lib/transport/delivery.h"

namespace memsync {

namespace {

constexpr unsigned kReaderThreads = 4;  // enough to overlap a few slow reads of a file or store

[[noreturn]] void throw_stale(const char* attempt, uint64_t asked, uint64_t current) {
  throw std::system_error(make_error_code(RegionError::stale_epoch),
                          std::string(attempt) + " of epoch " + std::to_string(asked) +
                              " while the region is at epoch " + std::to_string(current));
}

// What `work` threw, as an error code; none when it returned.
template <typename Work>
std::error_code error_of(Work&& work) noexcept {
  try {
    work();
    return {};
  } catch (const std::system_error& error) {
    return error.code() ? error.code() : std::error_code(EIO, std::generic_category());
  } catch (const std::out_of_range&) {
    return RegionError::out_of_bounds;
  } catch (const std::bad_alloc&) {
    return {ENOMEM, std::generic_category()};
  } catch (...) {
    return {EIO, std::generic_category()};
  }
}

}  // namespace

struct LocalRegion::State {
  State(Reader& from, Backend* to, const RegionId& id, Hooks given, Reads threads)
      : reader(from), writable(to), hooks(std::move(given)), reads(threads), epoch(id.epoch) {}

  // A read, write or exchange that may block: done by one of the pool's threads, demand first.
  struct Job {
    std::function<Completion()> work;
    uint64_t tag;
    Deadline deadline;
    CompletionSink* sink;
  };

  void add(Job job, Urgency urgency) EXCLUDES(jobs_mutex);
  void run_one() EXCLUDES(jobs_mutex);
  void cancel_waiting() EXCLUDES(jobs_mutex);
  bool reads_at_once(Urgency urgency) const {
    return reads == Reads::demand_at_once ? urgency == Urgency::demand
                                          : !reader.readable_memory().empty();
  }
  void check_range(uint64_t offset, uint64_t length) const {
    if (!lies_within(offset, length, reader.size_bytes()))
      throw std::system_error(make_error_code(RegionError::out_of_bounds), "collecting a range");
  }
  std::vector<std::byte> collect_wanted(std::span<const ByteRange> wanted);

  // One control call at a time, without a lock held while the hooks run.
  class Turn;

  Reader& reader;
  Backend* const writable;
  const Hooks hooks;
  const Reads reads;
  std::atomic<uint64_t> epoch;
  DeliveryDesk desk;

  Mutex control_mutex;
  Condition control_free;
  bool control_busy GUARDED_BY(control_mutex) = false;
  // Of the last suspension; touched in turns only.
  std::optional<Suspension> suspended;
  std::optional<uint64_t> tracked_epoch;
  bool released = false;

  Mutex jobs_mutex;
  std::deque<Job> demand GUARDED_BY(jobs_mutex);
  std::deque<Job> background GUARDED_BY(jobs_mutex);
  bool ending GUARDED_BY(jobs_mutex) = false;
  boost::asio::thread_pool pool{kReaderThreads};  // last: its threads end before what they use
};

class LocalRegion::State::Turn {
 public:
  Turn(State& state, Deadline deadline) : state_(state) {
    MutexLock lock(state_.control_mutex);
    while (state_.control_busy) {
      if (state_.control_free.wait_until(state_.control_mutex, deadline) == std::cv_status::timeout)
        throw std::system_error(ETIMEDOUT, std::generic_category(),
                                "waiting for another change of ownership");
    }
    state_.control_busy = true;
  }
  ~Turn() {
    MutexLock lock(state_.control_mutex);
    state_.control_busy = false;
    state_.control_free.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  State& state_;
};

void LocalRegion::State::add(Job job, Urgency urgency) {
  {
    MutexLock lock(jobs_mutex);
    (urgency == Urgency::demand ? demand : background).push_back(std::move(job));
  }
  boost::asio::post(pool, [this] { run_one(); });
}

void LocalRegion::State::run_one() {
  std::optional<Job> job;
  bool cancelled = false;
  {
    MutexLock lock(jobs_mutex);
    auto& queue = demand.empty() ? background : demand;
    if (queue.empty()) return;
    job.emplace(std::move(queue.front()));
    queue.pop_front();
    cancelled = ending;
  }
  Completion done{.tag = job->tag, .error = {}, .reply = {}};
  if (cancelled) {
    done.error = {ECANCELED, std::generic_category()};
  } else if (Clock::now() >= job->deadline) {
    done.error = {ETIMEDOUT, std::generic_category()};
  } else {
    const uint64_t tag = job->tag;
    done.error = error_of([&] { done = job->work(); });
    done.tag = tag;
  }
  std::vector<Completion> batch;
  batch.push_back(std::move(done));
  desk.deliver(*job->sink, std::move(batch));
}

void LocalRegion::State::cancel_waiting() {
  MutexLock lock(jobs_mutex);
  ending = true;
}

std::vector<std::byte> LocalRegion::State::collect_wanted(std::span<const ByteRange> wanted) {
  size_t total = 0;
  for (const auto& range : wanted) {
    check_range(range.offset, range.length);
    total += range.length;
  }
  std::vector<std::byte> bytes(total);
  std::span<std::byte> rest(bytes);
  for (const auto& range : wanted) {
    reader.read_at(rest.first(range.length), range.offset);
    rest = rest.subspan(range.length);
  }
  return bytes;
}

LocalRegion::LocalRegion(Reader& reader, Backend* writable, const RegionId& region, Hooks hooks,
                         Reads reads)
    : state_(std::make_unique<State>(reader, writable, region, std::move(hooks), reads)) {}

LocalRegion::~LocalRegion() {
  state_->cancel_waiting();
  state_->pool.join();
}

void LocalRegion::start_reads(std::span<const ReadRequest> requests, Urgency urgency,
                              Deadline deadline, CompletionSink& sink) {
  const bool at_once = state_->reads_at_once(urgency);
  std::vector<Completion> done;
  for (const auto& request : requests) {
    const auto read = [this, request] { state_->reader.read_at(request.into, request.offset); };
    if (!lies_within(request.offset, request.into.size(), state_->reader.size_bytes()))
      done.push_back({request.tag, RegionError::out_of_bounds, {}});
    else if (at_once)
      done.push_back({request.tag, error_of(read), {}});
    else
      state_->add({[read] {
                     read();
                     return Completion{};
                   },
                   request.tag, deadline, &sink},
                  urgency);
  }
  if (!done.empty()) state_->desk.deliver(sink, std::move(done));
}

void LocalRegion::start_writes(std::span<const WriteRequest> requests, Urgency urgency,
                               Deadline deadline, CompletionSink& sink) {
  std::vector<Completion> refused;
  for (const auto& request : requests) {
    const bool inside =
        lies_within(request.offset, request.from.size(), state_->reader.size_bytes());
    if (state_->writable == nullptr || !inside) {
      const auto why = inside ? RegionError::refused : RegionError::out_of_bounds;
      refused.push_back({request.tag, make_error_code(why), {}});
      continue;
    }
    state_->add({[this, request] {
                   state_->writable->write_at(request.from, request.offset);
                   return Completion{};
                 },
                 request.tag, deadline, &sink},
                urgency);
  }
  if (!refused.empty()) state_->desk.deliver(sink, std::move(refused));
}

void LocalRegion::start_exchange(std::string_view topic, std::span<const std::byte> request,
                                 uint64_t tag, Urgency urgency, Deadline deadline,
                                 CompletionSink& sink) {
  if (!state_->hooks.on_exchange) {
    std::vector<Completion> refused;
    refused.push_back({tag, make_error_code(RegionError::unknown_topic), {}});
    state_->desk.deliver(sink, std::move(refused));
    return;
  }
  state_->add({[this, name = std::string(topic),
                bytes = std::vector<std::byte>(request.begin(), request.end())] {
                 Completion done;
                 done.reply = state_->hooks.on_exchange(name, bytes);
                 return done;
               },
               tag, deadline, &sink},
              urgency);
}

void LocalRegion::start_tracking(uint64_t epoch, Deadline deadline) {
  const State::Turn turn(*state_, deadline);
  if (epoch != state_->epoch) throw_stale("tracking", epoch, state_->epoch);
  if (state_->tracked_epoch == epoch) return;
  if (state_->hooks.start_tracking) state_->hooks.start_tracking();
  state_->tracked_epoch = epoch;
}

Suspension LocalRegion::suspend_and_collect(uint64_t epoch, std::span<const ByteRange> wanted,
                                            Deadline deadline) {
  const State::Turn turn(*state_, deadline);
  const bool again = state_->suspended && epoch + 1 == state_->epoch;
  if (!again) {
    if (epoch != state_->epoch) throw_stale("suspending", epoch, state_->epoch);
    const auto asked = Clock::now();
    if (state_->hooks.suspend_app) state_->hooks.suspend_app();
    Suspension found;
    found.suspending = Clock::now() - asked;
    state_->epoch = epoch + 1;  // the fence: closed before the dirty chunks are counted
    try {
      if (state_->hooks.collect_dirty) found.dirty_chunks = state_->hooks.collect_dirty();
      found.wanted = state_->collect_wanted(wanted);
    } catch (...) {
      state_->epoch = epoch;
      if (state_->hooks.resume_app) state_->hooks.resume_app();
      throw;
    }
    state_->suspended = found;
    state_->suspended->wanted.clear();
    return found;
  }
  Suspension answer = *state_->suspended;
  answer.wanted = state_->collect_wanted(wanted);  // nobody has written since
  return answer;
}

void LocalRegion::resume(uint64_t epoch, Deadline deadline) {
  const State::Turn turn(*state_, deadline);
  if (!state_->suspended && epoch == state_->epoch) return;  // asked for again
  if (!state_->suspended || epoch + 1 != state_->epoch || state_->released)
    throw_stale("resuming", epoch, state_->epoch);
  state_->epoch = epoch;
  state_->suspended.reset();
  state_->tracked_epoch.reset();
  if (state_->hooks.resume_app) state_->hooks.resume_app();
}

void LocalRegion::release(uint64_t epoch, Deadline deadline) {
  const State::Turn turn(*state_, deadline);
  // The new owner may name the ownership that was handed over or its own.
  if (epoch != state_->epoch && epoch + 1 != state_->epoch)
    throw_stale("releasing", epoch, state_->epoch);
  if (state_->released) return;
  state_->released = true;
  if (state_->hooks.released) state_->hooks.released();
}

uint64_t LocalRegion::epoch() const noexcept {
  return state_->epoch;
}

std::span<const std::byte> LocalRegion::borrow(ByteRange range) noexcept {
  const auto memory = state_->reader.readable_memory();
  if (!lies_within(range.offset, range.length, memory.size())) return {};
  return memory.subspan(range.offset, range.length);
}

}  // namespace memsync
