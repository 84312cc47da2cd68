// Memory that is filled by UFFDIO_COPY alone, page by page, before anybody looks at it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "approaches/options.h"
#include "lib/os/userfault.h"

namespace memsync::baselines {

// Private anonymous memory, page-aligned, that outlives this; whatever it held is dropped.
// Threads: one.
class PlacedMemory {
 public:
  explicit PlacedMemory(std::span<std::byte> bytes);
  // Puts whole pages at `offset`, a page's start. Throws std::system_error.
  void place(uint64_t offset, std::span<const std::byte> pages) const;
  // Plain memory from here on.
  void finish() const;

 private:
  const std::span<std::byte> pages_;
  const Userfault userfault_;
};

// The option `unit` of approaches that place: whole pages, at most 64 MiB at a time.
inline constexpr OptionSpec kPlacedUnit{"unit", "256KiB", "bytes",
                                        "placed by one UFFDIO_COPY: whole pages, at most 64MiB"};
// Throws std::invalid_argument with one sentence.
uint64_t placed_unit_bytes(const Options& options);
// What this machine lacks for placing, and what is wrong with the options.
std::vector<std::string> placing_problems(const Options& options);

}  // namespace memsync::baselines
