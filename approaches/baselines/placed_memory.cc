#include "approaches/baselines/placed_memory.h"

#include <stdexcept>
#include <sys/mman.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync::baselines {

namespace {

constexpr uint64_t kUnitMax = 64 << 20;

}  // namespace

PlacedMemory::PlacedMemory(std::span<std::byte> bytes)
    : pages_(bytes.data(), round_up_to_page(bytes.size())), userfault_(Userfault::open({})) {
  check(::madvise(pages_.data(), pages_.size(), MADV_DONTNEED), "dropping the region's pages");
  userfault_.register_pages(pages_);
}

void PlacedMemory::place(uint64_t offset, std::span<const std::byte> pages) const {
  userfault_.place(pages_.data() + offset, pages);
}

void PlacedMemory::finish() const {
  userfault_.unregister(pages_);
}

uint64_t placed_unit_bytes(const Options& options) {
  const uint64_t unit = options.bytes("unit");
  if (unit == 0 || unit % page_bytes() != 0 || unit > kUnitMax)
    throw std::invalid_argument("option 'unit': " + options.text("unit") +
                                " is not whole pages of " + std::to_string(page_bytes()) +
                                "B, at most 64MiB");
  return unit;
}

std::vector<std::string> placing_problems(const Options& options) {
  placed_unit_bytes(options);
  return Userfault::problems({});
}

}  // namespace memsync::baselines
