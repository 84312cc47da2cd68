#include "lib/region/write_tracker.h"

#include <algorithm>
#include <array>
#include <exception>
#include <poll.h>
#include <sys/mman.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/mutex.h"

namespace memsync {

namespace {

std::span<std::byte> whole_pages(std::span<std::byte> memory) {
  return {memory.data(), round_up_to_page(memory.size())};
}

// The kernel takes a page's protection away at its first write; a scan finds the pages without one.
// Source: Linux Documentation/admin-guide/mm/pagemap.rst, "Pagemap Scan IOCTL".
class ScanTracker : public WriteTracker {
 public:
  ScanTracker(std::span<std::byte> memory, const Geometry& geometry)
      : pages_(whole_pages(memory)),
        geometry_(geometry),
        userfault_(Userfault::open({.tracking = Userfault::WriteTracking::scan})) {
    userfault_.register_pages(pages_, Userfault::Watch::writes);
    take();  // protects what is there; what is not counts as written once it is
  }

  std::vector<ChunkIndex> take() override {
    WrittenChunks written(geometry_);
    pagemap_.for_each_written(pages_, Pagemap::Then::protect, [&](std::span<std::byte> run) {
      written.add(static_cast<uint64_t>(run.data() - pages_.data()), run.size());
    });
    return written.take();
  }

 private:
  const std::span<std::byte> pages_;
  const Geometry geometry_;
  const Userfault userfault_;
  const Pagemap pagemap_;
};

// Each first write to a protected page waits until a thread of this object has noted it.
class FaultTracker : public WriteTracker {
 public:
  FaultTracker(std::span<std::byte> memory, const Geometry& geometry)
      : pages_(whole_pages(memory)),
        geometry_(geometry),
        written_(pages_.size() / page_bytes()),
        userfault_(Userfault::open({.tracking = Userfault::WriteTracking::faults})) {
    // Protection needs a page table entry: without it the first write to a page that was never
    // touched would go unnoticed.
    check(::madvise(pages_.data(), pages_.size(), MADV_POPULATE_READ), "tracking writes");
    userfault_.register_pages(pages_, Userfault::Watch::writes);
    userfault_.protect(pages_);
    noting_ = std::jthread([this](std::stop_token stop) { note_writes(stop); });
  }
  ~FaultTracker() override {
    noting_.request_stop();
    signal_event(wake_up_);
    noting_.join();
    userfault_.unregister(pages_);  // whoever still waits to write goes on
  }

  std::vector<ChunkIndex> take() override {
    if (failed_) std::rethrow_exception(failure_);
    WrittenChunks written(geometry_);
    for (const ChunkIndex page : written_.all_set()) {
      while (!protect_again(page)) {
      }
      written.add(page * page_bytes(), page_bytes());
    }
    return written.take();
  }

 private:
  bool protect_again(ChunkIndex page) {
    MutexLock lock(changing_);
    written_.clear(page);
    return userfault_.try_protect(pages_.subspan(page * page_bytes(), page_bytes()));
  }

  void note_writes(std::stop_token stop) noexcept {
    try {
      std::array<Userfault::Event, 32> events;
      std::array<pollfd, 2> waits{
          {{userfault_.descriptor().get(), POLLIN, 0}, {wake_up_.get(), POLLIN, 0}}};
      while (!stop.stop_requested()) {
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
          throw_errno("waiting for writes");
        while (const size_t count = userfault_.take_events(events))
          for (const auto& event : std::span(events).first(count)) note(event);
      }
    } catch (...) {
      failure_ = std::current_exception();
      failed_ = true;
      userfault_.lift_protection(pages_);  // nobody waits for ever; take() tells why it knows less
    }
  }

  void note(const Userfault::Event& event) {
    if (event.kind != Userfault::Event::Kind::write) return;
    MutexLock lock(changing_);
    written_.set(static_cast<uint64_t>(event.address - pages_.data()) / page_bytes());
    userfault_.lift_protection({event.address, page_bytes()});
  }

  const std::span<std::byte> pages_;
  const Geometry geometry_;
  // Held while a page's mark and its protection change: a mark that is cleared between being set
  // and the protection's lifting would leave a page that is written and never noticed again.
  Mutex changing_;
  ChunkBitmap written_;  // by page
  const FileDescriptor wake_up_ = FileDescriptor::event();
  const Userfault userfault_;
  std::exception_ptr failure_;  // written once, before failed_
  std::atomic<bool> failed_ = false;
  std::jthread noting_;  // last member: joined before anything it uses goes
};

}  // namespace

void WrittenChunks::add(uint64_t offset, uint64_t length) {
  if (offset >= geometry_.size_bytes) return;
  const uint64_t end = std::min(offset + length, geometry_.size_bytes);
  ChunkIndex chunk = geometry_.chunk_of(offset);
  if (!chunks_.empty() && chunks_.back() == chunk) ++chunk;  // two runs within one chunk
  for (; chunk < geometry_.chunk_count() && geometry_.chunk_start(chunk) < end; ++chunk)
    chunks_.push_back(chunk);
}

Userfault::WriteTracking WriteTracker::best_offered() {
  return Userfault::problems({.tracking = Userfault::WriteTracking::scan}).empty()
             ? Userfault::WriteTracking::scan
             : Userfault::WriteTracking::faults;
}

std::unique_ptr<WriteTracker> WriteTracker::open(std::span<std::byte> memory,
                                                 const Geometry& geometry,
                                                 Userfault::WriteTracking how) {
  if (how == Userfault::WriteTracking::scan) return std::make_unique<ScanTracker>(memory, geometry);
  return std::make_unique<FaultTracker>(memory, geometry);
}

}  // namespace memsync
