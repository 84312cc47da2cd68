// A region in this process's memory, as what is pushed.
#pragma once

#include <memory>

#include "approaches/mmap_push/settings.h"
#include "approaches/mmap_push/source.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/mapping.h"

namespace memsync::mmap_push {

// A file of the region's size, mapped MAP_SHARED: the application writes to the mapping, a detector
// looks at it. Threads: memory() from any; the rest from one.
class RegionSource : public Source {
 public:
  // The file is made below `folder`, which outlives this; zeros. Throws std::system_error, and
  // std::invalid_argument where the detector would miss the application's stores.
  RegionSource(const std::string& folder, const Geometry& geometry, const Settings& settings);

  std::span<std::byte> memory() const noexcept { return mapping_.bytes(); }
  const std::string& path() const noexcept { return path_; }
  // From here on writes are noticed; before, nothing is: fill the memory first.
  void start_detecting();

  // What the option `msync` asks of the kernel. Throws std::system_error.
  void begin_round() const;

  std::optional<uint64_t> refresh() override { return memory().size(); }
  std::vector<ChunkIndex> changed() override;
  bool copy(std::span<std::byte> into, uint64_t offset) override;
  void note_held(ChunkIndex block, std::span<const std::byte> bytes) override;
  std::span<const std::byte> held(ChunkIndex block) const override;

 private:
  Watched watched() const;

  const std::string path_;
  const FileDescriptor file_;
  const Mapping mapping_;
  const Geometry geometry_;  // in blocks
  const Settings settings_;
  std::unique_ptr<ChangeDetector> detector_;
};

}  // namespace memsync::mmap_push
