#include <sys/stat.h>

#include "approaches/baselines/rsync.h"
#include "approaches/baselines/rsync_control.h"
#include "approaches/baselines/rsync_settings.h"
#include "lib/os/error.h"

namespace memsync::rsync {

namespace {

// A file of exactly the store's bytes, mapped so that what is stored there is read by rsync.
Mapping make_region_file(const std::string& path, Backend& store) {
  const uint64_t size = store.size_bytes();
  const auto file = FileDescriptor::open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  // Fails here, not by SIGBUS at a store, where there is no room.
  if (const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(size)); error != 0)
    throw_errno("making room for " + std::to_string(size) + " bytes at " + path +
                    "; choose file=" + (is_in_memory(path) ? "disk" : "memory"),
                error);
  Mapping mapping = Mapping::shared(file, size);
  store.read_at(mapping.bytes(), 0);
  return mapping;
}

}  // namespace

SourceSide::SourceSide(SideSetup setup)
    : setup_(checked(std::move(setup))),
      switches_(switches_of(*setup_.options, *setup_.network)),
      folder_(TemporaryFolder::make(place_of(*setup_.options))),
      path_(folder_.path() + "/" + kFile),
      memory_(make_region_file(path_, *setup_.store)),
      listener_(setup_.network->listen(kControlService)),
      on_stop_(setup_.stop, [this] { signal_event(stop_); }) {
  setup_.store.reset();  // its bytes are in the file now
  server_ = std::jthread([this] { serve(); });
}

SourceSide::~SourceSide() {
  signal_event(stop_);
  listener_->close();
  MutexLock lock(mutex_);
  is_closing_ = true;
  if (stream_) stream_->shut_down();
}

void SourceSide::serve() {
  try {
    auto accepted = listener_->accept(Deadline::max());
    if (!accepted) return;
    Stream& stream = *accepted;
    {
      MutexLock lock(mutex_);
      if (is_closing_) return;
      stream_ = std::move(accepted);
    }
    if (make_first_copy(stream)) answer_questions(stream);
  } catch (...) {
    park(std::current_exception());
  }
}

bool SourceSide::make_first_copy(Stream& stream) {
  try {
    expect_greeting(stream, setup_.geometry.size_bytes);
    copy(Deadline::max());
  } catch (const std::exception& problem) {
    park(std::current_exception());
    tell_failure(stream, problem.what());
    return false;
  }
  {
    MutexLock lock(mutex_);
    first_copy_done_ = true;
  }
  changed_.notify_all();
  return true;
}

// The first one is asked by the greeting.
void SourceSide::answer_questions(Stream& stream) const {
  try {
    for (;; expect_question(stream)) send_number(stream, sent_.load(std::memory_order_relaxed));
  } catch (const std::system_error&) {
    // The destination is gone; the next sync() says so.
  }
}

void SourceSide::park(std::exception_ptr failure) {
  {
    MutexLock lock(mutex_);
    failure_ = std::move(failure);
  }
  changed_.notify_all();
}

uint64_t SourceSide::copy(Deadline deadline) {
  std::vector<std::string> arguments = switches_;
  arguments.insert(arguments.end(), {path_, url_of(*setup_.network)});
  const uint64_t literal = run(arguments, stop_, deadline).literal_bytes;
  sent_.fetch_add(literal, std::memory_order_relaxed);
  return literal;
}

void SourceSide::wait_for_first_copy(Deadline deadline) {
  MutexLock lock(mutex_);
  while (!first_copy_done_ && !failure_)
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout)
      throw_errno("waiting for the destination's first copy", ETIMEDOUT);
  if (failure_) std::rethrow_exception(failure_);
}

std::optional<SyncReport> SourceSide::sync(Deadline deadline) {
  wait_for_first_copy(deadline);
  const auto start = Clock::now();
  const uint64_t literal = copy(deadline);
  const uint64_t chunk = setup_.geometry.chunk_bytes;
  // rsync knows no chunks: as many as the literal bytes fill.
  return SyncReport{.chunks_examined = setup_.geometry.chunk_count(),
                    .chunks_moved = (literal + chunk - 1) / chunk,
                    .payload_bytes = literal,
                    .elapsed = Clock::now() - start};
}

Statistics SourceSide::statistics() const {
  Statistics result;
  result.payload_sent = sent_.load(std::memory_order_relaxed);
  result.chunks_local = setup_.geometry.chunk_count();
  return result;
}

void SourceSide::rethrow_failure() const {
  std::exception_ptr failure;
  {
    MutexLock lock(mutex_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace memsync::rsync
