// What to ask for before anybody touches it: a policy that sees faults and gives out units.
#pragma once

#include <cstdint>
#include <optional>

namespace memsync::userfaultfd {

using UnitIndex = uint64_t;

// A page that was brought ahead raises no fault, so that a policy learns of its success only by
// where the next fault is. It may give out units that are there already: who asks for them skips
// those. Knows no kernel. Threads: one at a time.
class Prefetcher {
 public:
  Prefetcher() = default;
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  virtual ~Prefetcher() = default;

  // A thread waits for `unit`, which may be missing, on its way, or there already.
  virtual void fault_at(UnitIndex unit) = 0;
  // The next unit worth asking for; nullopt: none before the next fault.
  virtual std::optional<UnitIndex> take() = 0;
  // Every unit is missing again.
  virtual void start_over() {}
};

}  // namespace memsync::userfaultfd
