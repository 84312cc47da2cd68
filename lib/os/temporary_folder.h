// A folder of this process's own that goes with its object.
#pragma once

#include <string>
#include <utility>

namespace memsync {

// <where>/memsync-side-<our pid>-XXXXXX, which nobody else may enter (mode 0700). The destructor
// removes it with all that is in it; after kill -9 the name tells `memsync clean` whose it was.
// Move-only.
class TemporaryFolder {
 public:
  static constexpr const char* kPrefix = "memsync-side-";

  // Throws std::system_error "making the folder ..." where that can't be.
  static TemporaryFolder make(const std::string& where);

  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder();

  const std::string& path() const noexcept { return path_; }

 private:
  explicit TemporaryFolder(std::string path) noexcept : path_(std::move(path)) {}
  std::string path_;
};

// Where files are memory: a tmpfs of this host (not of /tmp, which is a disk as often as not).
inline constexpr const char* kMemoryFolder = "/dev/shm";
// Whether files in `folder` are memory (tmpfs, ramfs). Throws std::system_error where it is not
// there.
bool is_in_memory(const std::string& folder);

}  // namespace memsync
