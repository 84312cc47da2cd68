// One region's order of pulling for several memories, each of which holds a part of it.
#pragma once

#include <vector>

#include "approaches/userfaultfd/prefetch/guide.h"
#include "lib/os/mutex.h"

namespace memsync::userfaultfd {

// Lists and traces are of the region, whatever part of it a program maps. Threads: guidance() and
// add() from any; keep() after they have ended.
class SharedGuide {
 public:
  // `options` is looked at during the call. Throws as Guide does.
  SharedGuide(const Settings& settings, uint64_t region_bytes, const Options* options);

  // For memory that holds `part`. Where this records, the policy notes in `touches`, which outlives
  // it, what add() takes afterwards.
  Guidance guidance(const ByteRange& part, std::vector<UnitIndex>& touches) const;
  // What one memory touched comes behind what others have touched that were added before.
  void add(const ByteRange& part, std::span<const UnitIndex> touches) EXCLUDES(mutex_);
  // Writes what was recorded, if anything; otherwise does nothing. Throws std::system_error.
  void keep() EXCLUDES(mutex_);

 private:
  const uint64_t unit_bytes_;
  Guide guide_;
  Mutex mutex_;
  std::vector<ByteRange> touched_ GUARDED_BY(mutex_);
};

}  // namespace memsync::userfaultfd
