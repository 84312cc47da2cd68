#include "approaches/baselines/uffd_copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "approaches/baselines/placed_memory.h"
#include "lib/os/mapping.h"

namespace memsync::uffd_copy {

namespace {

constexpr std::array kOptions = {
    OptionSpec{kBackendOption.name, "local", "", "where the bytes are: here, in memory", "local"},
    baselines::kPlacedUnit};

SideSetup checked(SideSetup setup) {
  if (!setup.store || setup.store->mapping().size() != setup.geometry.size_bytes)
    throw std::invalid_argument("uffd_copy needs a store in memory of the region's size");
  if (!setup.open_copy || setup.options == nullptr)
    throw std::invalid_argument("uffd_copy needs its options and the bytes at the destination");
  return setup;
}

}  // namespace

std::span<const OptionSpec> option_specs() noexcept {
  return kOptions;
}

DestinationSide::DestinationSide(SideSetup setup) : setup_(checked(std::move(setup))) {
  const uint64_t unit = baselines::placed_unit_bytes(*setup_.options);
  const uint64_t size = setup_.geometry.size_bytes;
  const auto copy = setup_.open_copy();
  const auto memory = copy->readable_memory();
  const baselines::PlacedMemory placed(setup_.store->mapping());
  const Mapping staging = Mapping::anonymous(unit, Population::at_once);
  for (uint64_t done = 0; done < size; done += unit) {
    const uint64_t length = std::min(unit, size - done);
    if (memory.size() == size && length == unit) {
      placed.place(done, memory.subspan(done, length));
      continue;
    }
    // Not in memory, or the tail, whose page ends in zeros.
    const auto piece = staging.bytes().first(round_up_to_page(length));
    copy->read_at(piece.first(length), done);
    std::memset(piece.data() + length, 0, piece.size() - length);
    placed.place(done, piece);
  }
  placed.finish();
}

Statistics DestinationSide::statistics() const {
  Statistics result;
  result.faults = 0;
  result.chunks_local = setup_.geometry.chunk_count();
  return result;
}

}  // namespace memsync::uffd_copy
