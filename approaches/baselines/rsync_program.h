// The rsync program: a daemon that takes one region, and runs of its client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/os/clock.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/mutex.h"
#include "lib/os/process.h"

namespace memsync::rsync {

// What one run says of itself (--stats).
struct Transfer {
  uint64_t literal_bytes = 0;  // of the file, sent as they are
  uint64_t matched_bytes = 0;  // of the file, found in the receiver's old one
};
// nullopt where the text is none of --stats with plain numbers (--no-human-readable).
std::optional<Transfer> parse_stats(std::string_view text);

// Runs rsync to its end. Throws std::system_error: EIO with rsync's own words where it failed,
// ETIMEDOUT at the deadline, ECANCELED when `stop` became readable. In these two it is killed.
Transfer run(const std::vector<std::string>& arguments, const FileDescriptor& stop,
             Deadline deadline);

struct DaemonSetup {
  std::string address;  // the one it listens at
  uint16_t port = 0;
  std::string allowed;                // the one address that may connect
  std::vector<std::string> switches;  // more of them
  std::string folder;  // which has `kData`; the configuration and the log go beside it
};

// rsync --daemon with one module, kModule, that is writable and is the folder's kData.
// Threads: problem() from any. It dies with the thread that made it, and so does what it started
// when this object goes.
class Daemon {
 public:
  static constexpr const char* kModule = "region";
  static constexpr const char* kData = "data";

  // Throws std::system_error when it can't be started. It may not listen yet.
  explicit Daemon(const DaemonSetup& setup);
  // How it ended, with its last words; nullopt: it lives.
  std::optional<std::string> problem() const;

 private:
  const std::string log_;
  mutable Mutex mutex_;
  mutable Process process_ GUARDED_BY(mutex_);  // waiting for it changes it
};

}  // namespace memsync::rsync
