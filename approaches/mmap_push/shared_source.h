// One region and one detector for several receivers: each sees a source of its own.
#pragma once

#include <memory>
#include <vector>

#include "approaches/mmap_push/source.h"
#include "lib/os/mutex.h"
#include "lib/region/digest.h"

namespace memsync::mmap_push {

// A look finds changes for all receivers at once, whichever of them asks first; what each still
// lacks is kept by itself. Receivers are sent copies made at different moments, and a detector
// knows of one version only: where two receivers hold different ones, the older is named again.
//
//   of(0).changed() ─▶ look ─▶ lacking[0], lacking[1] ...        of(1).changed() ─▶ lacking[1]
//
// Threads: each receiver's source from one thread of its own, all at once; begin_round() while none
// of them is used.
class SharedSource {
 public:
  // `region` outlives this; its own changed() and note_held() are called by nobody else.
  SharedSource(Source& region, const Geometry& blocks, size_t receivers);
  ~SharedSource();
  Source& of(size_t receiver);
  // The next changed() of each receiver tells of a look that is made from here on.
  void begin_round();

 private:
  class View;
  using Look = uint32_t;  // number of one; 0: before the first
  struct Receiver {
    std::vector<Look> lacks;  // per block: of the look that named it last; 0: it has it
    Look seen = 0;            // the look that its last changed() told of
  };

  std::vector<ChunkIndex> changed(size_t receiver);
  void note_held(size_t receiver, ChunkIndex block, std::span<const std::byte> bytes);
  void look() REQUIRES(mutex_);

  Source& region_;
  std::vector<std::unique_ptr<View>> views_;
  Mutex mutex_;
  Look looks_ GUARDED_BY(mutex_) = 0;
  std::vector<Receiver> receivers_ GUARDED_BY(mutex_);
  std::vector<Digest> noted_ GUARDED_BY(mutex_);  // per block: what the detector knows of
};

}  // namespace memsync::mmap_push
