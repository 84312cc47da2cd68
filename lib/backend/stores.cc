#include "lib/backend/stores.h"

#include <cstring>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/region/geometry.h"

namespace memsync {

void check_range(uint64_t offset, uint64_t length, uint64_t size_bytes) {
  if (!lies_within(offset, length, size_bytes))
    throw std::out_of_range(std::to_string(length) + " bytes at " + std::to_string(offset) +
                            " reach past the end of " + std::to_string(size_bytes) + " bytes");
}

MemoryBackend::MemoryBackend(uint64_t size_bytes) : mapping_(Mapping::anonymous(size_bytes)) {}
MemoryBackend::MemoryBackend(Mapping mapping) : mapping_(std::move(mapping)) {}

void MemoryBackend::read_at(std::span<std::byte> into, uint64_t offset) {
  check_range(offset, into.size(), size_bytes());
  if (into.empty()) return;  // memcpy(3) wants pointers even for nothing
  std::memcpy(into.data(), mapping_.bytes().data() + offset, into.size());
}

void MemoryBackend::write_at(std::span<const std::byte> from, uint64_t offset) {
  check_range(offset, from.size(), size_bytes());
  if (from.empty()) return;
  std::memcpy(mapping_.bytes().data() + offset, from.data(), from.size());
}

FileBackend::FileBackend(const std::string& path, Mode mode)
    : path_(path), file_(FileDescriptor::open(path, mode == Mode::read_only ? O_RDONLY : O_RDWR)) {
  struct stat status{};
  check(::fstat(file_.get(), &status), "reading the size of " + path);
  if (S_ISDIR(status.st_mode)) throw_errno("opening " + path, EISDIR);
  size_ = static_cast<uint64_t>(
      check(::lseek(file_.get(), 0, SEEK_END), "reading the size of " + path));
}

FileBackend FileBackend::create(const std::string& path, uint64_t size_bytes) {
  const auto file = FileDescriptor::open(path, O_RDWR | O_CREAT);
  check(::ftruncate(file.get(), static_cast<off_t>(size_bytes)), "sizing " + path);
  return {path, Mode::read_write};
}

void FileBackend::read_at(std::span<std::byte> into, uint64_t offset) {
  check_range(offset, into.size(), size_);
  while (!into.empty()) {
    const ssize_t got = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    check(got, "reading " + path_);
    if (got == 0) throw_errno("reading " + path_ + ", which was cut short meanwhile", EIO);
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

void FileBackend::write_at(std::span<const std::byte> from, uint64_t offset) {
  check_range(offset, from.size(), size_);
  while (!from.empty()) {
    const ssize_t put = ::pwrite(file_.get(), from.data(), from.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    check(put, "writing " + path_);
    from = from.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
}

void FileBackend::sync() {
  check(::fdatasync(file_.get()), "syncing " + path_);
}

void PatternReader::read_at(std::span<std::byte> into, uint64_t offset) {
  check_range(offset, into.size(), size_);
  fill_content(kind_, seed_, into, offset);
}

void ReadOnlyStore::write_at(std::span<const std::byte> from, uint64_t offset) {
  throw_errno("writing " + std::to_string(from.size()) + " bytes at " + std::to_string(offset) +
                  " of a store that is only read",
              EROFS);
}

}  // namespace memsync
