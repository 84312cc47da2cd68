// Detectors that ask the kernel which pages of the mapping were written.
#pragma once

#include <memory>

#include "lib/detection/change_detector.h"
#include "lib/os/pagemap.h"
#include "lib/region/write_tracker.h"

namespace memsync {

// Kinds scan and faults.
class TrackingDetector final : public ChangeDetector {
 public:
  TrackingDetector(const Watched& watched, Userfault::WriteTracking how);
  std::vector<ChunkIndex> take() override;
  void note_held(ChunkIndex, std::span<const std::byte>) override {}
  bool compares() const noexcept override { return false; }

 private:
  const Geometry geometry_;
  const std::unique_ptr<WriteTracker> tracker_;
  bool is_first_ = true;
};

// Reading the bits and clearing them are two steps, and a store in between is lost: so the writers
// pause while take() runs. Clearing is for the whole process: one detector at a time has them.
class SoftDirtyDetector final : public ChangeDetector {
 public:
  explicit SoftDirtyDetector(const Watched& watched);  // EBUSY while there is another
  ~SoftDirtyDetector() override;
  std::vector<ChunkIndex> take() override;
  void note_held(ChunkIndex, std::span<const std::byte>) override {}
  bool compares() const noexcept override { return false; }

 private:
  const std::span<std::byte> pages_;
  const Geometry geometry_;
  const Pagemap pagemap_;
  bool is_first_ = true;
};

}  // namespace memsync
