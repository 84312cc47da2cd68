// A region of each kind for the tests of detectors: a file that is mapped, and calls on it.
#pragma once

#include <algorithm>

#include "lib/detection/change_detector.h"
#include "lib/region/tracked_places.h"

namespace memsync {

inline constexpr std::array kTrackedPlaces{TrackedPlace::anonymous, TrackedPlace::memory_file,
                                           TrackedPlace::tmpfs, TrackedPlace::disk};

class WatchedRegion {
 public:
  WatchedRegion(TrackedPlace place, Geometry geometry)
      : geometry_(geometry), placed_(place, geometry.size_bytes) {}

  Watched watched() const {
    return {.memory = placed_.bytes(),
            .geometry = geometry_,
            .file = placed_.file().get(),
            .path = placed_.path(),
            .workers = 2};
  }
  std::span<std::byte> bytes() const { return placed_.bytes(); }
  int file() const { return placed_.file().get(); }
  const std::string& path() const { return placed_.path(); }
  void store(uint64_t offset, std::byte value) const {
    *const_cast<volatile std::byte*>(&placed_.bytes()[offset]) = value;
  }
  // To a page that is in this process' mapping already.
  void read_and_store(uint64_t offset, std::byte value) const {
    static_cast<void>(*const_cast<volatile std::byte*>(&placed_.bytes()[offset]));
    store(offset, value);
  }
  void call_pwrite(uint64_t offset, std::byte value) const {
    check(::pwrite(file(), &value, 1, static_cast<off_t>(offset)), "writing to a region's file");
  }

 private:
  const Geometry geometry_;
  const PlacedFile placed_;
};

// Takes until nothing changes any more and all that was named is noted: the peer holds everything.
inline void bring_to_rest(ChangeDetector& detector, const Watched& watched) {
  for (;;) {
    const auto named = detector.take();
    if (named.empty()) return;
    for (const ChunkIndex chunk : named) {
      std::vector<std::byte> copy(watched.geometry.chunk_length(chunk));
      copy_chunk(watched, chunk, copy);
      detector.note_held(chunk, copy);
    }
  }
}

}  // namespace memsync
