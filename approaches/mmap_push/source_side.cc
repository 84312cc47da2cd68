#include <array>
#include <poll.h>
#include <stdexcept>

#include "approaches/mmap_push/sides.h"
#include "lib/os/error.h"

namespace memsync::mmap_push {

SideSetup checked_source(SideSetup setup) {
  if (!setup.store || setup.network == nullptr)
    throw std::invalid_argument("mmap_push needs a store and a network");
  if (setup.store->size_bytes() != setup.geometry.size_bytes)
    throw std::invalid_argument("mmap_push needs a store of the region's size");
  return setup;
}

SourceSide::SourceSide(SideSetup setup, const Settings& settings)
    : setup_(checked_source(std::move(setup))),
      settings_(settings),
      folder_(TemporaryFolder::make(place_of(settings))),
      source_(folder_.path(), setup_.geometry, settings),
      listener_(setup_.network->listen(kServiceName)) {
  setup_.store->read_at(source_.memory(), 0);
  source_.start_detecting();
  server_ = std::jthread([this] { serve(); });
  if (settings_.interval > Nanoseconds::zero())
    interval_ = std::jthread([this](const std::stop_token& stop) { sync_by_interval(stop); });
}

SourceSide::~SourceSide() {
  listener_->close();
  cut();
  signal_event(wake_);
  interval_.request_stop();
  const MutexLock lock(mutex_);  // now, or it looks before it waits
  changed_.notify_all();
}

void SourceSide::cut() {
  const MutexLock lock(state_);
  is_ending_ = true;
  if (stream_) stream_->shut_down();
}

WriterControl SourceSide::control() const {
  return {.pause = setup_.suspend_app, .resume = setup_.resume_app};
}

void SourceSide::serve() {
  try {
    auto stream = listener_->accept(Deadline::max());
    if (!stream) return;
    Stream& connection = *stream;
    {
      const MutexLock lock(state_);
      if (is_ending_) return;
      stream_ = std::move(stream);
    }
    const Deadline deadline = after(kRoundLimit);
    auto sender = std::make_unique<Sender>(connection, settings_.sender, deadline);
    sender->offer(kRegionName, source_, deadline);
    run_round(*sender, Deadline::max());
    {
      const MutexLock lock(mutex_);
      sender_ = std::move(sender);
    }
    changed_.notify_all();
    watch(connection);
  } catch (...) {
    const MutexLock lock(mutex_);
    park(std::current_exception());
  }
}

// Between rounds the destination says nothing but that it wants to take over.
void SourceSide::watch(Stream& stream) {
  std::array<pollfd, 2> waits{{{stream.descriptor(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  while (true) {
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
      throw_errno("waiting for the destination");
    drain_event(wake_);
    const MutexLock lock(mutex_);
    {
      const MutexLock look(state_);
      if (is_ending_) return;
    }
    if (!sender_->is_asked_to_hand_over(after(kRoundLimit))) continue;
    sender_->hand_over(control(), after(kRoundLimit));
    return;
  }
}

SyncReport SourceSide::run_round(Sender& sender, Deadline deadline) {
  if (sender.is_handed_over())
    throw_errno("the destination has taken the region over; this source owns it no more", EPERM);
  const SyncReport report = sender.sync(control(), deadline);
  sent_.fetch_add(report.payload_bytes, std::memory_order_relaxed);
  rounds_.fetch_add(1, std::memory_order_relaxed);
  // A request that came with an acknowledgement is no longer where poll(2) sees it.
  if (sender.is_asked_to_hand_over(deadline)) signal_event(wake_);
  return report;
}

std::optional<SyncReport> SourceSide::sync(Deadline deadline) {
  const MutexLock lock(mutex_);
  rethrow_failure();
  while (!sender_) {
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout)
      throw_errno("waiting for the destination's first copy", ETIMEDOUT);
    rethrow_failure();
  }
  try {
    return run_round(*sender_, deadline);
  } catch (...) {
    park(std::current_exception());
    throw;
  }
}

void SourceSide::sync_by_interval(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { changed_.notify_all(); });
  const MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    {
      const MutexLock look(state_);
      if (is_ending_) return;
    }
    if (changed_.wait_until(mutex_, after(settings_.interval)) != std::cv_status::timeout ||
        !sender_)
      continue;
    if (sender_->is_handed_over()) return;
    try {
      run_round(*sender_, after(kRoundLimit));
    } catch (...) {
      park(std::current_exception());
    }
  }
}

// After a failure in the middle of a round the connection is good for nothing more.
void SourceSide::park(std::exception_ptr failure) {
  {
    const MutexLock lock(state_);
    if (!failure_) failure_ = std::move(failure);
  }
  cut();
  signal_event(wake_);
  changed_.notify_all();
}

Statistics SourceSide::statistics() const {
  Statistics result;
  result.payload_sent = sent_.load(std::memory_order_relaxed);
  result.chunks_local = setup_.geometry.chunk_count();
  if (settings_.detector == DetectorKind::hash || settings_.detector == DetectorKind::shadow)
    result.hash_rounds = rounds_.load(std::memory_order_relaxed);
  return result;
}

void SourceSide::rethrow_failure() const {
  std::exception_ptr failure;
  {
    const MutexLock lock(state_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace memsync::mmap_push
