#include "approaches/userfaultfd/own_memory.h"

#include <cassert>
#include <cstring>
#include <sys/mman.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {

OwnMemory::OwnMemory(std::span<std::byte> bytes, Userfault::Poisoning poisoning)
    : bytes_(bytes),
      pages_(bytes.data(), round_up_to_page(bytes.size())),
      userfault_(Userfault::open(poisoning)) {
  assert(reinterpret_cast<uintptr_t>(bytes.data()) % page_bytes() == 0);
  drop_all();  // a page that is there already would never be asked for
  // A forked child's copy is not registered and would read zeros: it gets no copy at all.
  check(::madvise(pages_.data(), pages_.size(), MADV_DONTFORK), "keeping the region from children");
  userfault_.register_missing(pages_);
}

OwnMemory::~OwnMemory() {
  if (!let_go_) make_unreadable();
}

void OwnMemory::place(uint64_t offset, std::byte* staging, uint64_t length) const {
  const uint64_t whole = round_up_to_page(length);
  std::memset(staging + length, 0, whole - length);
  userfault_.place(&bytes_[offset], {staging, whole});
}

void OwnMemory::poison(ByteRange range) const {
  userfault_.poison(pages_.subspan(range.offset, round_up_to_page(range.length)));
}

void OwnMemory::drop_all() const {
  check(::madvise(pages_.data(), pages_.size(), MADV_DONTNEED), "dropping the region's pages");
}

void OwnMemory::let_go() {
  userfault_.unregister(pages_);
  check(::madvise(pages_.data(), pages_.size(), MADV_DOFORK),
        "giving the region to children again");
  let_go_ = true;
}

void OwnMemory::make_unreadable() noexcept {
  try {
    userfault_.make_unreadable(pages_);
  } catch (const std::exception&) {
    // No mapping to be had: without any access a waiting thread at least gets SIGSEGV.
    ::mprotect(pages_.data(), pages_.size(), PROT_NONE);
    userfault_.wake(pages_);
  }
}

size_t OwnMemory::take_faults(std::span<uint64_t> offsets) const {
  const size_t count = userfault_.take_faults(offsets);
  const auto start = reinterpret_cast<uint64_t>(bytes_.data());
  for (uint64_t& offset : offsets.first(count)) offset -= start;
  return count;
}

void OwnMemory::wake(ByteRange range) const noexcept {
  userfault_.wake(pages_.subspan(range.offset, round_up_to_page(range.length)));
}

}  // namespace memsync::userfaultfd
