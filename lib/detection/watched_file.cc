#include <sys/stat.h>

#include "lib/detection/change_detector.h"
#include "lib/os/error.h"

namespace memsync {

FileState look_at_file(const Watched& watched) {
  struct stat behind{}, found{};
  check(::fstat(watched.file, &behind), "looking at the region's file");
  FileState state{.size_bytes = static_cast<uint64_t>(behind.st_size)};
  if (watched.path.empty()) return state;
  if (::stat(watched.path.c_str(), &found) == 0) {
    state.is_replaced = found.st_dev != behind.st_dev || found.st_ino != behind.st_ino;
  } else if (errno == ENOENT || errno == ENOTDIR) {
    state.is_replaced = true;
  } else {
    throw_errno("looking at " + watched.path);
  }
  return state;
}

}  // namespace memsync
