#include "approaches/mmap_push/star_source_side.h"

#include "approaches/mmap_push/sides.h"
#include "lib/os/error.h"

namespace memsync::mmap_push {

StarSourceSide::StarSourceSide(SideSetup setup, const Settings& settings)
    : setup_(checked_source(std::move(setup))),
      settings_(settings),
      folder_(TemporaryFolder::make(place_of(settings))),
      source_(folder_.path(), setup_.geometry, settings),
      shared_(source_, Geometry{setup_.geometry.size_bytes, settings.sender.block_bytes},
              setup_.destinations),
      listener_(setup_.network->listen(kServiceName)),
      destinations_(setup_.destinations) {
  setup_.store->read_at(source_.memory(), 0);
  source_.start_detecting();
  server_ = std::jthread([this] { accept_all(); });
}

StarSourceSide::~StarSourceSide() {
  listener_->close();
  const MutexLock lock(mutex_);
  is_ending_ = true;
  for (Destination& destination : destinations_)
    if (destination.stream) destination.stream->shut_down();
}

void StarSourceSide::accept_all() {
  try {
    for (size_t i = 0; i < destinations_.size(); ++i) {
      auto stream = listener_->accept(Deadline::max());
      if (!stream) return;
      const MutexLock lock(mutex_);
      if (is_ending_) return;
      destinations_[i].stream = std::move(stream);
      destinations_[i].first_copy = std::jthread([this, i] { make_first_copy(i); });
    }
  } catch (...) {
    park(std::current_exception());
  }
}

void StarSourceSide::make_first_copy(size_t index) {
  try {
    Stream* stream = nullptr;
    {
      const MutexLock lock(mutex_);
      stream = destinations_[index].stream.get();
    }
    const Deadline deadline = after(kRoundLimit);
    auto sender = std::make_unique<Sender>(*stream, settings_.sender, deadline);
    sender->offer(kRegionName, shared_.of(index), deadline);
    sent_.fetch_add(sender->sync({}, Deadline::max()).payload_bytes, std::memory_order_relaxed);
    const MutexLock lock(mutex_);
    destinations_[index].sender = std::move(sender);
    ++ready_;
  } catch (...) {
    park(std::current_exception());
  }
  changed_.notify_all();
}

void StarSourceSide::wait_for_first_copies(Deadline deadline) {
  const MutexLock lock(mutex_);
  while (ready_ < destinations_.size() && !failure_)
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout)
      throw_errno("waiting for the first copies of " + std::to_string(destinations_.size()) +
                      " destinations, of which " + std::to_string(ready_) + " have theirs",
                  ETIMEDOUT);
  if (failure_) std::rethrow_exception(failure_);
}

std::optional<SyncReport> StarSourceSide::sync(Deadline deadline) {
  wait_for_first_copies(deadline);
  const auto start = Clock::now();
  shared_.begin_round();
  {
    std::vector<std::jthread> rounds;
    for (Destination& destination : destinations_)
      rounds.emplace_back([&destination, deadline] {
        try {
          destination.report = destination.sender->sync({}, deadline);
        } catch (...) {
          destination.failure = std::current_exception();
        }
      });
  }
  SyncReport sum;
  for (const Destination& destination : destinations_) {
    if (destination.failure) {
      park(destination.failure);
      std::rethrow_exception(destination.failure);
    }
    sum.chunks_examined += destination.report.chunks_examined;
    sum.chunks_moved += destination.report.chunks_moved;
    sum.payload_bytes += destination.report.payload_bytes;
  }
  sum.elapsed = Clock::now() - start;
  sent_.fetch_add(sum.payload_bytes, std::memory_order_relaxed);
  rounds_.fetch_add(1, std::memory_order_relaxed);
  return sum;
}

// After a failure in the middle of a round the connections are good for nothing more.
void StarSourceSide::park(std::exception_ptr failure) {
  {
    const MutexLock lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
    for (Destination& destination : destinations_)
      if (destination.stream) destination.stream->shut_down();
  }
  changed_.notify_all();
}

Statistics StarSourceSide::statistics() const {
  Statistics result;
  result.payload_sent = sent_.load(std::memory_order_relaxed);
  result.chunks_local = setup_.geometry.chunk_count();
  if (settings_.detector == DetectorKind::hash || settings_.detector == DetectorKind::shadow)
    result.hash_rounds = rounds_.load(std::memory_order_relaxed);
  return result;
}

void StarSourceSide::rethrow_failure() const {
  std::exception_ptr failure;
  {
    const MutexLock lock(mutex_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace memsync::mmap_push
