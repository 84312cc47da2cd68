#include "approaches/userfaultfd/own_memory.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <sys/mman.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/region/zeros.h"

namespace memsync::userfaultfd {

namespace {
constexpr uint64_t kMappedOverMin = 2 << 20;
constexpr uint64_t kMappedOverMost = 1 << 14;  // of the 65530 mappings of a process, two for each

}  // namespace

OwnMemory::OwnMemory(std::span<std::byte> bytes, const Userfault::Wishes& wishes)
    : bytes_(bytes),
      pages_(bytes.data(), round_up_to_page(bytes.size())),
      tracking_(wishes.tracking),
      userfault_(Userfault::open(wishes)),
      written_(tracking_ == Userfault::WriteTracking::faults ? pages_.size() / page_bytes() : 0) {
  assert(reinterpret_cast<uintptr_t>(bytes.data()) % page_bytes() == 0);
  drop({0, pages_.size()});  // a page that is there already would never be asked for
  // A forked child's copy is not registered and would read zeros: it gets no copy at all.
  check(::madvise(pages_.data(), pages_.size(), MADV_DONTFORK), "keeping the region from children");
  userfault_.register_pages(pages_, tracking_ == Userfault::WriteTracking::none
                                        ? Userfault::Watch::missing
                                        : Userfault::Watch::both);
}

OwnMemory::~OwnMemory() {
  if (!let_go_) make_unreadable();
}

void OwnMemory::place(uint64_t offset, std::span<const std::byte> pages) {
  const auto meanwhile = [this] { take_moves(); };
  // UFFDIO_ZEROPAGE can't protect what it places, so tracked pages are copies.
  if (protection() == Userfault::Protection::off && is_zero(pages))
    userfault_.place_zeros(pages_.subspan(offset, pages.size()), meanwhile);
  else
    userfault_.place(&bytes_[offset], pages, protection(), meanwhile);
}

void OwnMemory::poison(ByteRange range) {
  userfault_.poison(pages_.subspan(range.offset, round_up_to_page(range.length)),
                    [this] { take_moves(); });
}

void OwnMemory::drop(ByteRange range) const {
  const auto pages = pages_.subspan(range.offset, round_up_to_page(range.length));
  check(::madvise(pages.data(), pages.size(), MADV_DONTNEED), "dropping the region's pages");
}

void OwnMemory::let_go() {
  userfault_.unregister(pages_);
  check(::madvise(pages_.data(), pages_.size(), MADV_DOFORK),
        "giving the region to children again");
  let_go_ = true;
}

void OwnMemory::make_unreadable() noexcept {
  try {
    // Whether it is there or not: while the memory is being moved, this takes the event of it.
    userfault_.make_unreadable(pages_.first(page_bytes()));
    if (userfault_.has_poison()) {
      const auto watched = watched_parts(pages_);
      pagemap_.for_each_absent(pages_, [&](auto run) { take_away(run, watched); });
    } else
      userfault_.make_unreadable(pages_);
  } catch (const std::exception&) {
    // No mapping to be had: without any access a waiting thread at least gets SIGSEGV.
    ::mprotect(pages_.data(), pages_.size(), PROT_NONE);
    userfault_.wake(pages_);
  }
}

// Large runs by mapping, for a region is large where little of it was touched; the many small ones
// by poison, for the mappings of a process are counted.
// What the application has unmapped is absent, too, and may be somebody else's by now: only what is
// still watched is mapped over.
void OwnMemory::take_away(std::span<std::byte> absent,
                          std::span<const std::span<std::byte>> watched) const {
  if (absent.size() < std::max(kMappedOverMin, pages_.size() / kMappedOverMost))
    return userfault_.make_unreadable(absent);
  for (const auto& part : watched) {
    std::byte* const start = std::max(absent.data(), part.data());
    std::byte* const end = std::min(absent.data() + absent.size(), part.data() + part.size());
    if (start < end) userfault_.map_over({start, end});
  }
}

size_t OwnMemory::take_faults(std::span<uint64_t> offsets) {
  std::array<Userfault::Event, 32> events;
  for (;;) {
    const size_t taken =
        userfault_.take_events(std::span(events).first(std::min(offsets.size(), events.size())));
    size_t count = 0;
    for (const auto& event : std::span(events).first(taken)) switch (event.kind) {
        case Userfault::Event::Kind::missing:
          // Elsewhere: in a part that was moved, which is about to be made unreadable.
          if (offset_of(event.address) < pages_.size()) offsets[count++] = offset_of(event.address);
          break;
        case Userfault::Event::Kind::write:
          note_write(event);
          break;
        case Userfault::Event::Kind::moved:
          refuse_move(event);
      }
    if (count != 0 || taken == 0) return count;  // all were writes: there may be more
  }
}

void OwnMemory::note_write(const Userfault::Event& event) {
  MutexLock lock(changing_);
  written_.set(offset_of(event.address) / page_bytes());
  userfault_.lift_protection({event.address, page_bytes()});
}

// Its pages would have to come to where nobody keeps count of them.
void OwnMemory::refuse_move(const Userfault::Event& event) const {
  userfault_.make_unreadable({event.moved_to, event.length});
  throw_errno("the application moved " + std::to_string(event.length) +
                  " bytes of the region (mremap), which must stay where it is",
              EFAULT);
}

bool OwnMemory::protect_again(ChunkIndex page) {
  MutexLock lock(changing_);
  written_.clear(page);
  return userfault_.try_protect(pages_.subspan(page * page_bytes(), page_bytes()));
}

std::vector<ByteRange> OwnMemory::take_written() {
  std::vector<ByteRange> found;
  if (tracking_ == Userfault::WriteTracking::scan) {
    pagemap_.for_each_written(
        pages_, Pagemap::Then::protect, Pagemap::Absent::left_out,
        [&](std::span<std::byte> run) { found.push_back({offset_of(run.data()), run.size()}); });
  } else if (tracking_ == Userfault::WriteTracking::faults) {
    for (const ChunkIndex page : written_.all_set()) {
      while (!protect_again(page)) {
      }
      found.push_back({page * page_bytes(), page_bytes()});
    }
  }
  if (!found.empty())  // the tail's page is whole, the region is not
    found.back().length = std::min(found.back().length, bytes_.size() - found.back().offset);
  return found;
}

std::vector<ByteRange> OwnMemory::absent() const {
  std::vector<ByteRange> found;
  pagemap_.for_each_absent(pages_, [&](std::span<std::byte> run) {
    found.push_back({offset_of(run.data()), run.size()});
  });
  return found;
}

void OwnMemory::wake(ByteRange range) const noexcept {
  userfault_.wake(pages_.subspan(range.offset, round_up_to_page(range.length)));
}

}  // namespace memsync::userfaultfd
