#include "lib/region/write_tracker.h"

#include <algorithm>
#include <array>
#include <exception>
#include <functional>
#include <poll.h>
#include <sys/mman.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"

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
    userfault_.protect(pages_);
  }

  std::vector<ChunkIndex> take() override {
    WrittenChunks written(geometry_);
    pagemap_.for_each_written(pages_, Pagemap::Then::protect, Pagemap::Absent::written_without_mark,
                              [&](std::span<std::byte> run) {
                                written.add(static_cast<uint64_t>(run.data() - pages_.data()),
                                            run.size());
                              });
    return written.take();
  }

 private:
  const std::span<std::byte> pages_;
  const Geometry geometry_;
  const Userfault userfault_;
  const Pagemap pagemap_;
};

// Without a mark on absent pages, the first write to one would go unnoticed: they are made present.
Userfault open_for_faults(std::span<std::byte> pages) {
  Userfault::Wishes wishes{.tracking = Userfault::WriteTracking::faults, .protects_absent = true};
  if (!Userfault::problems(wishes).empty()) {
    wishes.protects_absent = false;
    check(::madvise(pages.data(), pages.size(), MADV_POPULATE_READ), "tracking writes");
  }
  return Userfault::open(wishes);
}

// The first write to a protected page waits until a thread of this object has lifted the
// protection: the pages without one are the written ones.
class FaultTracker : public WriteTracker {
 public:
  FaultTracker(std::span<std::byte> memory, const Geometry& geometry)
      : pages_(whole_pages(memory)), geometry_(geometry), userfault_(open_for_faults(pages_)) {
    userfault_.register_pages(pages_, Userfault::Watch::writes);
    userfault_.protect(pages_);
    letting_ = std::jthread([this](std::stop_token stop) { let_writers_go_on(stop); });
  }
  ~FaultTracker() override {
    letting_.request_stop();
    signal_event(wake_up_);
    letting_.join();
    userfault_.unregister(pages_);  // whoever still waits to write goes on
  }

  // A page is protected again after it was found, and read by the caller after that: a write in
  // between is there to be read, a later one finds the protection.
  std::vector<ChunkIndex> take() override {
    if (failed_) std::rethrow_exception(failure_);
    WrittenChunks written(geometry_);
    for_each_unprotected([&](std::span<std::byte> run) {
      userfault_.protect(run);
      written.add(static_cast<uint64_t>(run.data() - pages_.data()), run.size());
    });
    return written.take();
  }

 private:
  void for_each_unprotected(const std::function<void(std::span<std::byte>)>& found) {
    if (has_scan_) try {
        pagemap_.for_each_written(pages_, Pagemap::Then::leave,
                                  Pagemap::Absent::written_without_mark, found);
        return;
      } catch (const std::system_error& problem) {
        if (problem.code().value() != ENOTTY) throw;
        has_scan_ = false;  // before Linux 6.7
      }
    pagemap_.for_each_unprotected(pages_, found);
  }

  void let_writers_go_on(std::stop_token stop) noexcept {
    try {
      std::array<Userfault::Event, 32> events;
      std::array<pollfd, 2> waits{
          {{userfault_.descriptor().get(), POLLIN, 0}, {wake_up_.get(), POLLIN, 0}}};
      while (!stop.stop_requested()) {
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
          throw_errno("waiting for writes");
        while (const size_t count = userfault_.take_events(events))
          for (const auto& event : std::span(events).first(count))
            if (event.kind == Userfault::Event::Kind::write)
              userfault_.lift_protection({event.address, page_bytes()});
      }
    } catch (...) {
      failure_ = std::current_exception();
      failed_ = true;
      userfault_.lift_protection(pages_);  // nobody waits for ever; take() tells why it knows less
    }
  }

  const std::span<std::byte> pages_;
  const Geometry geometry_;
  const FileDescriptor wake_up_ = FileDescriptor::event();
  const Userfault userfault_;
  const Pagemap pagemap_;
  bool has_scan_ = true;        // PAGEMAP_SCAN
  std::exception_ptr failure_;  // written once, before failed_
  std::atomic<bool> failed_ = false;
  std::jthread letting_;  // last member: joined before anything it uses goes
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
