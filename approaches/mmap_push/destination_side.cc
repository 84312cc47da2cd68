#include <stdexcept>
#include <sys/mman.h>

#include "approaches/mmap_push/sides.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync::mmap_push {

namespace {

SideSetup checked(SideSetup setup) {
  if (setup.network == nullptr) throw std::invalid_argument("mmap_push needs a network");
  setup.store.reset();  // the bytes land in files
  return setup;
}

// Page tables move whole where both places begin at a multiple of what one of them holds.
constexpr uint64_t kPageTableSpan = 2 << 20;

std::span<std::byte> aligned(const Mapping& reserved, uint64_t size_bytes) {
  const auto start = reinterpret_cast<uintptr_t>(reserved.bytes().data());
  return reserved.bytes().subspan(-start % kPageTableSpan, size_bytes);
}

}  // namespace

Window::Window(uint64_t size_bytes)
    : reserved_(Mapping::anonymous(size_bytes + kPageTableSpan)),
      bytes_(aligned(reserved_, size_bytes)) {}

void Window::show(const FileDescriptor& file, int protection) {
  Mapping aside = Mapping::anonymous(bytes_.size() + kPageTableSpan);
  // Where the kernel can't (before 5.13), the next call unmaps what is there.
  ::mremap(bytes_.data(), round_up_to_page(bytes_.size()), round_up_to_page(bytes_.size()),
           MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, aligned(aside, bytes_.size()).data());
  if (::mmap(bytes_.data(), bytes_.size(), protection, MAP_SHARED | MAP_FIXED, file.get(), 0) ==
      MAP_FAILED)
    throw_errno("mapping a received version");
  last_ = std::move(aside);
}

DestinationSide::DestinationSide(SideSetup setup, const Settings& settings)
    : setup_(checked(std::move(setup))),
      settings_(settings),
      folder_(TemporaryFolder::make(place_of(settings))),
      path_(folder_.path() + "/" + kRegionName),
      window_(setup_.geometry.size_bytes),
      received_(folder_.path(), settings.publish, settings.durable),
      stream_(setup_.network->connect("source", kServiceName, after(setup_.connect_limit))),
      receiver_(
          std::make_unique<Receiver>(*stream_, received_, events(), after(setup_.connect_limit))) {
  server_ = std::jthread([this] { serve(); });
  try {
    wait_for_first_copy();
  } catch (...) {
    stream_->shut_down();
    throw;
  }
}

DestinationSide::~DestinationSide() {
  stream_->shut_down();
}

ReceiverEvents DestinationSide::events() {
  ReceiverEvents events;
  events.published = [this](ReceivedFile& received, const End& end, bool is_final) {
    show_round(received, end, is_final);
  };
  events.caught_up = [this] {
    window_.drop_last();
    const MutexLock lock(mutex_);
    is_ready_ = true;
    changed_.notify_all();
  };
  events.stopping = [this] {
    const MutexLock lock(mutex_);
    stopping_ = Clock::now();
    payload_before_ = receiver_->payload_bytes();
  };
  return events;
}

void DestinationSide::serve() {
  std::exception_ptr failure;
  try {
    receiver_->serve();
  } catch (...) {
    failure = std::current_exception();
  }
  const MutexLock lock(mutex_);
  failure_ = failure;
  has_ended_ = true;
  changed_.notify_all();
}

void DestinationSide::wait_for_first_copy() {
  const std::stop_callback on_stop(setup_.stop, [this] { stream_->shut_down(); });
  const MutexLock lock(mutex_);
  while (!is_ready_ && !has_ended_) changed_.wait(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  if (!is_ready_) throw_errno("receiving the first copy", ECONNRESET);
}

// In the thread that serves. A final round is acknowledged after the application goes on here:
// until then the source may still own, afterwards it can't.
void DestinationSide::show_round(ReceivedFile& received, const End& end, bool is_final) {
  if (received.table.geometry().size_bytes != setup_.geometry.size_bytes)
    throw_errno("the source's region has " + std::to_string(received.table.geometry().size_bytes) +
                    " bytes, this one " + std::to_string(setup_.geometry.size_bytes),
                EPROTO);
  const Deadline published = Clock::now();
  if (is_final) {
    const MutexLock lock(mutex_);
    if (moving_ != Moving::asked || !stopping_)
      throw_errno("a hand-over that this side has not asked for, or has given up", EPROTO);
    moving_ = Moving::taking;
  }
  window_.show(received.file.published(), is_final ? PROT_READ | PROT_WRITE : PROT_READ);
  if (!is_final) return;
  if (setup_.resume_app) setup_.resume_app();
  const MutexLock lock(mutex_);
  report_.suspend = end.suspend;
  report_.collect = end.collect;
  report_.transfer =
      std::max(Nanoseconds::zero(), published - *stopping_ - end.suspend - end.collect);
  report_.resume = Clock::now() - published;
  report_.payload_bytes = receiver_->payload_bytes() - payload_before_;
  moving_ = Moving::moved;
  changed_.notify_all();
}

HandoverReport DestinationSide::finalize(Deadline deadline) {
  {
    const MutexLock lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
    if (moving_ == Moving::moved) throw std::logic_error("this side owns the region already");
    moving_ = Moving::asked;
  }
  try {
    receiver_->ask_to_take_over(deadline);
  } catch (...) {
    const MutexLock lock(mutex_);
    moving_ = Moving::given_up;  // it may be heard all the same
    throw;
  }
  const MutexLock lock(mutex_);
  while (moving_ != Moving::moved && !has_ended_) {
    if (moving_ == Moving::taking) {
      changed_.wait(mutex_);  // for no longer than the application takes to go on
    } else if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout &&
               moving_ == Moving::asked) {
      moving_ = Moving::given_up;
      throw_errno("waiting for the source to hand over", ETIMEDOUT);
    }
  }
  if (moving_ == Moving::moved) return report_;
  moving_ = Moving::given_up;
  if (failure_) std::rethrow_exception(failure_);
  throw_errno("the source ended instead of handing over", ECONNRESET);
}

// Everything has moved before the application goes on; the source knows by the acknowledgement.
Nanoseconds DestinationSide::settle(Deadline deadline) {
  const Deadline start = Clock::now();
  const MutexLock lock(mutex_);
  while (!has_ended_)
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout)
      throw_errno("acknowledging the hand-over", ETIMEDOUT);
  return Clock::now() - start;
}

Statistics DestinationSide::statistics() const {
  Statistics result;
  result.payload_received = receiver_->payload_bytes();
  result.chunks_local = setup_.geometry.chunk_count();
  return result;
}

void DestinationSide::rethrow_failure() const {
  std::exception_ptr failure;
  {
    const MutexLock lock(mutex_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace memsync::mmap_push
