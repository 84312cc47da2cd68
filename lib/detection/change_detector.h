// Which chunks of a region may have changed: one interface over several ways to find out.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/detection/writers.h"
#include "lib/region/chunk_hash.h"
#include "lib/region/geometry.h"

namespace memsync {

enum class DetectorKind : uint8_t {
  hash,        // compares the hashes of chunks
  shadow,      // compares the bytes with a copy of them: a second region of memory
  scan,        // asks the kernel which pages were written (userfaultfd WP_ASYNC, PAGEMAP_SCAN; 6.7)
  faults,      // has the first write to each page reported (userfaultfd)
  soft_dirty,  // asks the kernel which pages were written, older than scan; for writers that pause
  mtime,       // polls the file's last-modified time
  inotify,     // has the kernel report calls that change the file
};
inline constexpr std::array kDetectorKinds{
    DetectorKind::hash,       DetectorKind::shadow, DetectorKind::scan,   DetectorKind::faults,
    DetectorKind::soft_dirty, DetectorKind::mtime,  DetectorKind::inotify};
std::string_view name_of(DetectorKind kind);  // as written, but "soft-dirty"
std::optional<DetectorKind> detector_kind_named(std::string_view name);

// What is watched. All of it outlives the detector, and the mapping stays where it is.
struct Watched {
  std::span<std::byte> memory;  // a mapping of the region, page-aligned, Geometry::size_bytes long
  Geometry geometry;
  int file = -1;                                 // the file behind it; -1: anonymous memory
  std::string path = {};                         // "" where it has none (memfd)
  HashAlgorithm hash = HashAlgorithm::xxh3_128;  // of kind hash
  unsigned workers = 0;                          // threads that compare; 0: one per CPU
  bool writers_pause = false;  // nobody writes while take() runs; what soft_dirty asks for
};

// Threads: one at a time; the writers are whoever they are.
class ChangeDetector {
 public:
  virtual ~ChangeDetector() = default;
  // The chunks that may differ from what the peer holds, ascending. What was written before the
  // call is in this answer; what is written meanwhile in this one or in the next: so read a chunk
  // after it was named, never before. The first answer names every chunk.
  // Comparing detectors go on naming a chunk until note_held() says that the peer has it; the
  // others name it once. Throws std::system_error.
  virtual std::vector<ChunkIndex> take() = 0;
  // The peer holds exactly `bytes` of `chunk` from now on: a private copy of them, never the live
  // mapping, which may have become something else. Never what was hashed while looking, either: of
  // v1 (held), v2 (looked at), v3 (sent), v2 the last change would be lost.
  virtual void note_held(ChunkIndex chunk, std::span<const std::byte> bytes) = 0;
  // The bytes noted of `chunk`, to find what differs within it; empty where the kind keeps none or
  // nothing was noted. Valid until the next note_held().
  virtual std::span<const std::byte> held(ChunkIndex) const { return {}; }
  // true: take() names only chunks whose bytes differ from what is noted. false: candidates, maybe
  // all for one change.
  virtual bool compares() const noexcept = 0;
};

// What a kind sees in this place (kernel, file system, mapping); where it can't work at all,
// nothing, and `problem` says why and what to choose instead.
struct DetectorVerdict {
  WriterSet sees;
  std::string problem;
};
DetectorVerdict judge_detector(DetectorKind kind, const Watched& watched);

// Throws std::invalid_argument, one sentence, when the kind would miss one of `writers` here;
// std::system_error where the kernel refuses.
std::unique_ptr<ChangeDetector> open_detector(DetectorKind kind, const Watched& watched,
                                              WriterSet writers);

// Copies a chunk that others may be writing; torn where they do, which the next take() names. Bytes
// behind the end of a file that was cut meanwhile are zeros.
//   into  exactly Geometry::chunk_length() bytes
void copy_chunk(const Watched& watched, ChunkIndex chunk, std::span<std::byte> into);

// What has become of the file behind a mapping. Where `size_bytes` has changed or `is_replaced`,
// the region is mapped anew and a detector opened for it.
struct FileState {
  uint64_t size_bytes = 0;
  bool is_replaced = false;  // another file, or none, is found at the path
};
// Throws std::system_error.
FileState look_at_file(const Watched& watched);

}  // namespace memsync
