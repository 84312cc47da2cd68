// The file at one end: a path, whose file may be exchanged between rounds, or a descriptor.
#pragma once

#include <string>
#include <utility>

#include "lib/os/file_descriptor.h"

namespace memsync::mmap_push::thesis {

// A path is opened once per round, so that hashes and data are always of the same file: after
// another one was renamed over it, of the new one. Threads: as its end.
class SyncedFile {
 public:
  static SyncedFile at_path(std::string path) { return SyncedFile(std::move(path), {}); }
  // An open file, such as a memory file; for writing too at the receiver.
  static SyncedFile of(FileDescriptor file) { return SyncedFile({}, std::move(file)); }

  // Throws std::system_error, ENOENT when nothing is at the path. Never waits, whatever is there.
  FileDescriptor open_to_read() const { return open(O_RDONLY | O_NONBLOCK); }
  // Creates the file at the path if there is none.
  FileDescriptor open_to_write() const { return open(O_RDWR | O_CREAT | O_NONBLOCK); }

 private:
  SyncedFile(std::string path, FileDescriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}
  FileDescriptor open(int flags) const {
    return file_.is_open() ? file_.duplicate() : FileDescriptor::open(path_, flags);
  }

  std::string path_;
  FileDescriptor file_;
};

}  // namespace memsync::mmap_push::thesis
