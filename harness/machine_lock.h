// One campaign of a machine at a time: two would measure each other.
#pragma once

#include <string>

#include "lib/os/file_descriptor.h"

namespace memsync {

// Held by the one campaign of this user that may measure now; the kernel lets go of it when the
// process ends, however it ends. Move-only.
class MachineLock {
 public:
  // Returns when no other campaign holds it; says on stderr whom it waits for. Ctrl-C ends the
  // wait, so make it before an InterruptWatch.
  static MachineLock wait_for();
  MachineLock() = default;  // holds nothing

 private:
  explicit MachineLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace memsync
