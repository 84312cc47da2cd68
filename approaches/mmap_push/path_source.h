// A file of somebody else's, as what is pushed: found by its path in each round.
#pragma once

#include <memory>
#include <string>
#include <system_error>

#include "approaches/mmap_push/source.h"
#include "lib/detection/change_detector.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/mapping.h"

namespace memsync::mmap_push {

// The file can't be read, which is no fault of the connection.
class SourceFailure : public std::system_error {
 public:
  using std::system_error::system_error;
};

struct PathSettings {
  DetectorKind detector = DetectorKind::hash;
  HashAlgorithm hash = HashAlgorithm::xxh3_128;
  unsigned workers = 0;  // 0: one per CPU
  uint32_t block_bytes = 4096;
  WriterSet writers = WriterSet::all();  // who may write to the file
};

// Whoever may write, cut, replace or remove the file: its size, its hashes and its bytes are always
// of one open file, the one that refresh() found at the path; hashes by path and bytes by an older
// descriptor would send the old bytes for ever. While none is there, refresh() says so. Bytes are
// looked at through a mapping (a cut is survived) and copied by pread(2), which tells a cut and a
// disk that can't be read from zeros.
class PathSource : public Source {
 public:
  // Throws std::system_error when there is no such plain file to read, std::invalid_argument when
  // the detector would miss one of the writers there.
  PathSource(std::string path, const PathSettings& settings);

  std::optional<uint64_t> refresh() override;
  std::vector<ChunkIndex> changed() override;
  // Throws SourceFailure.
  bool copy(std::span<std::byte> into, uint64_t offset) override;
  void note_held(ChunkIndex block, std::span<const std::byte> bytes) override;
  std::span<const std::byte> held(ChunkIndex block) const override;

  const std::string& path() const noexcept { return path_; }
  // Why the last refresh() gave nothing; "" when it did.
  const std::string& problem() const noexcept { return problem_; }
  uint64_t size_bytes() const noexcept { return size_; }

 private:
  Watched watched() const;
  void open();
  void watch(uint64_t size_bytes);
  // Whether this part of the file is one of its holes.
  bool is_hole(uint64_t offset, uint64_t length);

  const std::string path_;
  const PathSettings settings_;
  std::string problem_;
  FileDescriptor file_;
  Mapping mapping_;
  uint64_t size_ = 0;
  // What was found out since changed() about where holes are: one, and bytes up to the next.
  ByteRange hole_;
  uint64_t data_end_ = 0;
  std::unique_ptr<ChangeDetector> detector_;  // of an empty file there is none
};

}  // namespace memsync::mmap_push
