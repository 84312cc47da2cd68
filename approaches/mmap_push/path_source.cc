#include "approaches/mmap_push/path_source.h"

#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync::mmap_push {

PathSource::PathSource(std::string path, const PathSettings& settings)
    : path_(std::move(path)), settings_(settings) {
  open();
}

Watched PathSource::watched() const {
  return {.memory = mapping_.bytes(),
          .geometry = {size_, settings_.block_bytes},
          .file = file_.get(),
          .path = path_,
          .hash = settings_.hash,
          .workers = settings_.workers};
}

// What was open until then stays so when this throws.
void PathSource::open() {
  FileDescriptor found = FileDescriptor::open(path_, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat status{};
  check(::fstat(found.get(), &status), "looking at " + path_);
  if (!S_ISREG(status.st_mode))
    throw_errno("opening " + path_ + ", which is no plain file", EINVAL);
  detector_.reset();
  file_ = std::move(found);
  watch(static_cast<uint64_t>(status.st_size));
}

void PathSource::watch(uint64_t size_bytes) {
  detector_.reset();
  size_ = size_bytes;
  mapping_ = size_ > 0 ? Mapping::shared(file_, size_, PROT_READ) : Mapping{};
  if (size_ > 0) detector_ = open_detector(settings_.detector, watched(), settings_.writers);
}

std::optional<uint64_t> PathSource::refresh() {
  try {
    const FileState state = look_at_file(watched());
    if (state.is_replaced)
      open();
    else if (state.size_bytes != size_ || !problem_.empty())
      watch(state.size_bytes);
  } catch (const std::exception& problem) {  // also a detector that does not fit the new file
    problem_ = problem.what();
    return std::nullopt;
  }
  problem_.clear();
  return size_;
}

std::vector<ChunkIndex> PathSource::changed() {
  hole_ = {};
  data_end_ = 0;
  if (!detector_) return {};
  try {
    return detector_->take();
  } catch (const std::system_error& problem) {
    throw SourceFailure(problem.code(), "looking for changes of " + path_);
  }
}

// Blocks come in ascending order, so each hole is asked for once. Who writes into one afterwards
// does so after changed(), which will tell. Source: lseek(2), SEEK_DATA.
bool PathSource::is_hole(uint64_t offset, uint64_t length) {
  if (offset >= hole_.offset && offset + length <= hole_.offset + hole_.length) return true;
  if (offset < data_end_) return false;
  const off_t data = ::lseek(file_.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {  // a hole up to the end, or beyond it
    struct stat status{};
    check(::fstat(file_.get(), &status), "looking at " + path_);
    const auto end = static_cast<uint64_t>(status.st_size);
    hole_ = {offset, end > offset ? end - offset : 0};
  } else if (data > static_cast<off_t>(offset)) {
    hole_ = {offset, static_cast<uint64_t>(data) - offset};
  } else {
    const off_t end = ::lseek(file_.get(), static_cast<off_t>(offset), SEEK_HOLE);
    data_end_ = end < 0 ? UINT64_MAX : static_cast<uint64_t>(end);
  }
  return offset + length <= hole_.offset + hole_.length && offset >= hole_.offset;
}

bool PathSource::copy(std::span<std::byte> into, uint64_t offset) {
  if (is_hole(offset, into.size())) {
    std::memset(into.data(), 0, into.size());
    return true;
  }
  while (!into.empty()) {
    const ssize_t got = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw SourceFailure(errno, std::generic_category(),
                          "reading " + path_ + " from byte " + std::to_string(offset) + " on");
    if (got == 0) return false;
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return true;
}

void PathSource::note_held(ChunkIndex block, std::span<const std::byte> bytes) {
  if (detector_) detector_->note_held(block, bytes);
}

std::span<const std::byte> PathSource::held(ChunkIndex block) const {
  return detector_ ? detector_->held(block) : std::span<const std::byte>{};
}

}  // namespace memsync::mmap_push
