#include "approaches/mmap_push/thesis_sides.h"

#include "approaches/mmap_push/sides.h"
#include "lib/os/error.h"

namespace memsync::mmap_push {

namespace {

thesis::Settings thesis_settings(const Settings& settings, const Geometry& geometry) {
  return {.block_bytes = settings.sender.block_bytes,
          .size_limit_bytes = geometry.size_bytes,
          .workers = settings.workers};
}

}  // namespace

ThesisSourceSide::ThesisSourceSide(SideSetup setup, const Settings& settings)
    : setup_(checked_source(std::move(setup))),
      settings_(settings),
      folder_(TemporaryFolder::make(place_of(settings))),
      region_(folder_.path(), setup_.geometry, settings),
      listener_(setup_.network->listen(kThesisServiceName)) {
  setup_.store->read_at(region_.memory(), 0);
  server_ = std::jthread([this] { serve(); });
}

ThesisSourceSide::~ThesisSourceSide() {
  listener_->close();
  const MutexLock lock(mutex_);
  is_ending_ = true;
  if (connection_ != nullptr) connection_->shut_down();
}

void ThesisSourceSide::serve() {
  try {
    auto stream = listener_->accept(Deadline::max());
    if (!stream) return;
    Stream* const connection = stream.get();
    source_ = std::make_unique<thesis::ThesisSource>(std::move(stream),
                                                     thesis::SyncedFile::at_path(region_.path()),
                                                     thesis_settings(settings_, setup_.geometry));
    {
      const MutexLock lock(mutex_);
      if (is_ending_) return;
      connection_ = connection;
    }
    sent_ += source_->round(after(kRoundLimit)).payload_bytes;
    const MutexLock lock(mutex_);
    has_first_copy_ = true;
    changed_.notify_all();
  } catch (...) {
    park(std::current_exception());
  }
}

void ThesisSourceSide::park(std::exception_ptr failure) {
  const MutexLock lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
  changed_.notify_all();
}

std::optional<SyncReport> ThesisSourceSide::sync(Deadline deadline) {
  {
    const MutexLock lock(mutex_);
    while (!has_first_copy_ && !failure_)
      if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout)
        throw_errno("waiting for the destination's first copy", ETIMEDOUT);
    if (failure_) std::rethrow_exception(failure_);
  }
  try {
    region_.begin_round();
    const SyncReport report = source_->round(deadline);
    sent_ += report.payload_bytes;
    ++rounds_;
    return report;
  } catch (...) {
    park(std::current_exception());
    throw;
  }
}

Statistics ThesisSourceSide::statistics() const {
  Statistics result;
  result.payload_sent = sent_.load();
  result.chunks_local = setup_.geometry.chunk_count();
  result.hash_rounds = rounds_.load();
  return result;
}

void ThesisSourceSide::rethrow_failure() const {
  const MutexLock lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

ThesisDestinationSide::ThesisDestinationSide(SideSetup setup, const Settings& settings)
    : setup_(std::move(setup)),
      settings_(settings),
      folder_(TemporaryFolder::make(place_of(settings))),
      path_(folder_.path() + "/region") {
  auto stream = setup_.network->connect("source", kThesisServiceName, after(setup_.connect_limit));
  server_ =
      std::jthread([this, connection = std::move(stream)](const std::stop_token& stop) mutable {
        serve(stop, std::move(connection));
      });
  const std::stop_callback on_stop(setup_.stop, [this] { server_.request_stop(); });
  wait_for_first_copy();
  memory_ =
      Mapping::shared(FileDescriptor::open(path_, O_RDWR), setup_.geometry.size_bytes, PROT_READ);
}

void ThesisDestinationSide::serve(const std::stop_token& stop, std::unique_ptr<Stream> stream) {
  std::exception_ptr failure;
  try {
    thesis::ThesisReceiver receiver(std::move(stream), thesis::SyncedFile::at_path(path_),
                                    thesis_settings(settings_, setup_.geometry));
    receiver.serve(stop, [this](uint64_t payload_bytes) {
      received_ += payload_bytes;
      const MutexLock lock(mutex_);
      has_first_copy_ = true;
      changed_.notify_all();
    });
  } catch (...) {
    failure = std::current_exception();
  }
  const MutexLock lock(mutex_);
  failure_ = failure;
  has_ended_ = true;
  changed_.notify_all();
}

void ThesisDestinationSide::wait_for_first_copy() {
  const MutexLock lock(mutex_);
  while (!has_first_copy_ && !has_ended_) changed_.wait(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  if (!has_first_copy_) throw_errno("receiving the first copy", ECONNRESET);
}

Statistics ThesisDestinationSide::statistics() const {
  Statistics result;
  result.payload_received = received_.load();
  result.chunks_local = setup_.geometry.chunk_count();
  return result;
}

void ThesisDestinationSide::rethrow_failure() const {
  const MutexLock lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace memsync::mmap_push
