// Memory of each kind that writes are tracked on, for tests.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync {

enum class TrackedPlace : uint8_t { anonymous, memory_file, tmpfs, disk };

inline std::string name_of(TrackedPlace place) {
  switch (place) {
    case TrackedPlace::anonymous:
      return "anonymous";
    case TrackedPlace::memory_file:
      return "memory_file";
    case TrackedPlace::tmpfs:
      return "tmpfs";
    case TrackedPlace::disk:
      break;
  }
  return "disk";
}

inline bool is_tmpfs(const std::string& folder) {
  struct statfs system{};
  return ::statfs(folder.c_str(), &system) == 0 && system.f_type == 0x01021994;  // TMPFS_MAGIC
}

// A file of zeros, mapped and shared, that goes with this object; of place anonymous private
// memory. Whoever makes one on tmpfs or disk asks missing() first.
class PlacedFile {
 public:
  PlacedFile() = default;
  PlacedFile(TrackedPlace place, uint64_t size_bytes) {
    if (place == TrackedPlace::anonymous) {
      mapping_ = Mapping::anonymous(size_bytes);
      return;
    }
    if (place == TrackedPlace::memory_file) {
      file_ = FileDescriptor::memory_file("tracked", size_bytes);
    } else {
      path_ = folder_of(place) + "/memsync-tracked-XXXXXX";
      file_ = FileDescriptor{check(::mkstemp(path_.data()), "making " + path_)};
      check(::ftruncate(file_.get(), static_cast<off_t>(size_bytes)), "sizing " + path_);
    }
    mapping_ = Mapping::shared(file_, size_bytes);
  }
  PlacedFile(PlacedFile&&) = default;
  PlacedFile& operator=(PlacedFile&&) = default;
  ~PlacedFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  // Why this machine has no such place; empty when it has.
  static std::string missing(TrackedPlace place) {
    if (place == TrackedPlace::tmpfs && !is_tmpfs(folder_of(place)))
      return folder_of(place) + " is no tmpfs";
    if (place == TrackedPlace::disk && is_tmpfs(folder_of(place)))
      return folder_of(place) + " is a tmpfs; set TEST_TMPDIR to a folder on a disk";
    return "";
  }

  std::span<std::byte> bytes() const { return mapping_.bytes(); }
  const FileDescriptor& file() const { return file_; }
  const std::string& path() const { return path_; }

 private:
  static std::string folder_of(TrackedPlace place) {
    std::string folder = place == TrackedPlace::tmpfs ? "/dev/shm" : testing::TempDir();
    while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
    return folder;
  }
  std::string path_;
  FileDescriptor file_;
  Mapping mapping_;
};

}  // namespace memsync
