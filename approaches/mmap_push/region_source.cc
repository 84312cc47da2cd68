#include "approaches/mmap_push/region_source.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync::mmap_push {

namespace {

FileDescriptor make_file(const std::string& path, uint64_t size_bytes) {
  FileDescriptor file = FileDescriptor::open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  check(::ftruncate(file.get(), static_cast<off_t>(size_bytes)), "making " + path);
  return file;
}

}  // namespace

RegionSource::RegionSource(const std::string& folder, const Geometry& geometry,
                           const Settings& settings)
    : path_(folder + "/region"),
      file_(make_file(path_, geometry.size_bytes)),
      mapping_(Mapping::shared(file_, geometry.size_bytes)),
      geometry_{geometry.size_bytes, settings.sender.block_bytes},
      settings_(settings) {}

Watched RegionSource::watched() const {
  return {.memory = memory(),
          .geometry = geometry_,
          .file = file_.get(),
          .path = path_,
          .hash = settings_.hash,
          .workers = settings_.workers};
}

void RegionSource::start_detecting() {
  detector_ = open_detector(settings_.detector, watched(), {Writer::stores});
}

void RegionSource::begin_round() const {
  if (settings_.msync != Msync::off)
    check(::msync(memory().data(), memory().size(),
                  settings_.msync == Msync::sync ? MS_SYNC : MS_ASYNC),
          "msync of " + path_);
}

std::vector<ChunkIndex> RegionSource::changed() {
  begin_round();
  return detector_->take();
}

bool RegionSource::copy(std::span<std::byte> into, uint64_t offset) {
  copy_chunk(watched(), geometry_.chunk_of(offset), into);
  return true;
}

void RegionSource::note_held(ChunkIndex block, std::span<const std::byte> bytes) {
  detector_->note_held(block, bytes);
}

std::span<const std::byte> RegionSource::held(ChunkIndex block) const {
  return detector_->held(block);
}

}  // namespace memsync::mmap_push
