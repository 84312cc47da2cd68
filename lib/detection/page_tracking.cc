#include "lib/detection/page_tracking.h"

#include <atomic>

#include "lib/detection/all_chunks.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync {

namespace {
std::atomic<bool> soft_dirty_in_use = false;
}

TrackingDetector::TrackingDetector(const Watched& watched, Userfault::WriteTracking how)
    : geometry_(watched.geometry),
      tracker_(WriteTracker::open(watched.memory, watched.geometry, how)) {}

std::vector<ChunkIndex> TrackingDetector::take() {
  auto written = tracker_->take();
  return std::exchange(is_first_, false) ? all_chunks(geometry_) : std::move(written);
}

SoftDirtyDetector::SoftDirtyDetector(const Watched& watched)
    : pages_(watched.memory.data(), round_up_to_page(watched.memory.size())),
      geometry_(watched.geometry) {
  if (soft_dirty_in_use.exchange(true))
    throw_errno("tracking by soft-dirty bits, which a process has once", EBUSY);
}

SoftDirtyDetector::~SoftDirtyDetector() {
  soft_dirty_in_use = false;
}

std::vector<ChunkIndex> SoftDirtyDetector::take() {
  WrittenChunks written(geometry_);
  pagemap_.for_each_soft_dirty(pages_, [&](std::span<std::byte> run) {
    written.add(static_cast<uint64_t>(run.data() - pages_.data()), run.size());
  });
  Pagemap::clear_soft_dirty();
  return std::exchange(is_first_, false) ? all_chunks(geometry_) : written.take();
}

}  // namespace memsync
