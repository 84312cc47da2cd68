#include "lib/detection/change_detector.h"

#include <cassert>
#include <stdexcept>

#include "lib/detection/comparing.h"
#include "lib/detection/file_watching.h"
#include "lib/detection/page_tracking.h"

namespace memsync {

std::string_view name_of(DetectorKind kind) {
  switch (kind) {
    case DetectorKind::hash:
      return "hash";
    case DetectorKind::shadow:
      return "shadow";
    case DetectorKind::scan:
      return "scan";
    case DetectorKind::faults:
      return "faults";
    case DetectorKind::soft_dirty:
      return "soft-dirty";
    case DetectorKind::mtime:
      return "mtime";
    case DetectorKind::inotify:
      break;
  }
  return "inotify";
}

std::optional<DetectorKind> detector_kind_named(std::string_view name) {
  for (const DetectorKind kind : kDetectorKinds)
    if (name_of(kind) == name) return kind;
  return std::nullopt;
}

std::unique_ptr<ChangeDetector> open_detector(DetectorKind kind, const Watched& watched,
                                              WriterSet writers) {
  assert(watched.memory.size() == watched.geometry.size_bytes);  // what the caller mapped
  const DetectorVerdict verdict = judge_detector(kind, watched);
  const std::string name(name_of(kind));
  if (!verdict.problem.empty())
    throw std::invalid_argument("detector '" + name + "': " + verdict.problem);
  if (!verdict.sees.covers(writers))
    throw std::invalid_argument("detector '" + name + "' sees " + verdict.sees.names() +
                                " here and would miss " + writers.missed_by(verdict.sees).names() +
                                "; choose another, 'hash' sees all");
  switch (kind) {
    case DetectorKind::hash:
      return std::make_unique<HashDetector>(watched);
    case DetectorKind::shadow:
      return std::make_unique<ShadowDetector>(watched);
    case DetectorKind::scan:
      return std::make_unique<TrackingDetector>(watched, Userfault::WriteTracking::scan);
    case DetectorKind::faults:
      return std::make_unique<TrackingDetector>(watched, Userfault::WriteTracking::faults);
    case DetectorKind::soft_dirty:
      return std::make_unique<SoftDirtyDetector>(watched);
    case DetectorKind::mtime:
      return std::make_unique<MtimeDetector>(watched);
    case DetectorKind::inotify:
      break;
  }
  return std::make_unique<InotifyDetector>(watched);
}

}  // namespace memsync
