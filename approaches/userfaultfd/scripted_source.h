// A region service that answers from a reader in this process and does what a test tells it: waits,
// fails at an offset, dies. For tests; carrying bytes between hosts is the transport's job.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <thread>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/os/mutex.h"
#include "lib/transport/region_service.h"

namespace memsync::userfaultfd {

// One thread answers, demand first. Every request completes once: with its bytes, with the error
// the script gives, with ETIMEDOUT at its deadline while held, with ECANCELED at destruction.
// `reader` outlives this.
class ScriptedSource : public RegionService {
 public:
  explicit ScriptedSource(Reader& reader)
      : reader_(reader), answering_([this](std::stop_token stop) { answer(stop); }) {}
  ~ScriptedSource() override {
    answering_.request_stop();
    changed_.notify_all();
  }

  // Requests touching `offset` fail.
  void fail_at(uint64_t offset, std::errc error) {
    MutexLock lock(mutex_);
    failing_[offset] = std::make_error_code(error);
  }
  // Every request, open or to come, fails with ECONNRESET.
  void die() {
    MutexLock lock(mutex_);
    dead_ = true;
    changed_.notify_all();
  }
  // Requests of this urgency wait until let_go().
  void hold(Urgency urgency) {
    MutexLock lock(mutex_);
    held_[static_cast<size_t>(urgency)] = true;
  }
  void let_go() {
    MutexLock lock(mutex_);
    held_[0] = held_[1] = false;
    changed_.notify_all();
  }
  // Waits until at least `count` requests of this urgency have been made since the beginning.
  void wait_for_requests(Urgency urgency, size_t count) {
    MutexLock lock(mutex_);
    while (made_[static_cast<size_t>(urgency)] < count) changed_.wait(mutex_);
  }
  size_t requests_made(Urgency urgency) {
    MutexLock lock(mutex_);
    return made_[static_cast<size_t>(urgency)];
  }

  void start_reads(std::span<const ReadRequest> requests, Urgency urgency, Deadline deadline,
                   CompletionSink& sink) override {
    MutexLock lock(mutex_);
    for (const ReadRequest& request : requests)
      queues_[static_cast<size_t>(urgency)].push_back({request, deadline, &sink});
    made_[static_cast<size_t>(urgency)] += requests.size();
    changed_.notify_all();
  }
  void start_writes(std::span<const WriteRequest>, Urgency, Deadline, CompletionSink&) override {}
  void start_exchange(std::string_view, std::span<const std::byte>, uint64_t, Urgency, Deadline,
                      CompletionSink&) override {}
  void start_tracking(uint64_t, Deadline) override {}
  Suspension suspend_and_collect(uint64_t, std::span<const ByteRange>, Deadline) override {
    return {};
  }
  void resume(uint64_t, Deadline) override {}
  void release(uint64_t, Deadline) override {}
  uint64_t epoch() const noexcept override { return 0; }

 private:
  struct Open {
    ReadRequest request;
    Deadline deadline;
    CompletionSink* sink;
  };

  void answer(std::stop_token stop) {
    MutexLock lock(mutex_);
    for (;;) {
      auto* queue = next_queue(stop.stop_requested());
      if (queue == nullptr) {
        if (stop.stop_requested()) return;
        changed_.wait_until(mutex_, earliest_deadline());
        continue;
      }
      const Open open = queue->front();
      queue->pop_front();
      Completion completion{
          .tag = open.request.tag, .error = error_of(open, stop.stop_requested()), .reply = {}};
      lock.unlock();
      if (!completion.error) reader_.read_at(open.request.into, open.request.offset);
      open.sink->completed({&completion, 1});
      lock.lock();
    }
  }

  std::deque<Open>* next_queue(bool stopping) REQUIRES(mutex_) {
    for (size_t i = 0; i < queues_.size(); ++i)
      if (!queues_[i].empty() &&
          (!held_[i] || dead_ || stopping || queues_[i].front().deadline <= Clock::now()))
        return &queues_[i];
    return nullptr;
  }

  Deadline earliest_deadline() REQUIRES(mutex_) {
    Deadline earliest = after(std::chrono::hours(1));
    for (const auto& queue : queues_)
      if (!queue.empty()) earliest = std::min(earliest, queue.front().deadline);
    return earliest;
  }

  std::error_code error_of(const Open& open, bool stopping) REQUIRES(mutex_) {
    if (dead_) return std::make_error_code(std::errc::connection_reset);
    if (stopping) return std::make_error_code(std::errc::operation_canceled);
    if (open.deadline <= Clock::now()) return std::make_error_code(std::errc::timed_out);
    const auto failing = failing_.lower_bound(open.request.offset);
    if (failing != failing_.end() &&
        failing->first < open.request.offset + open.request.into.size())
      return failing->second;
    return {};
  }

  Reader& reader_;
  Mutex mutex_;
  Condition changed_;
  std::array<std::deque<Open>, 2> queues_ GUARDED_BY(mutex_);  // by urgency
  std::array<bool, 2> held_ GUARDED_BY(mutex_){};
  std::array<size_t, 2> made_ GUARDED_BY(mutex_){};
  std::map<uint64_t, std::error_code> failing_ GUARDED_BY(mutex_);
  bool dead_ GUARDED_BY(mutex_) = false;
  std::jthread answering_;  // last member: joined before anything it uses goes
};

}  // namespace memsync::userfaultfd
