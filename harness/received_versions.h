// What `memsync receive` and `memsync hub` say: on stdout the address and each version that readers
// see, on stderr the rest.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "approaches/mmap_push/received_folder.h"

namespace memsync {

void tell_receive(const std::string& sentence);
void print_address(const std::string& address, bool json);
// What came of a file; `version`, a hub's number of it, where it is not 0. Threads: any.
void print_version(const std::string& name, uint64_t version, uint64_t size_bytes,
                   uint64_t payload_bytes, bool json);

// The folder, for this process alone. Throws std::invalid_argument, one sentence with the next
// step.
FileDescriptor take_folder(const std::string& path);

// Those of one connection, each once. Threads: one.
class ReceivedVersions {
 public:
  explicit ReceivedVersions(bool json) : json_(json) {}
  // `payload_bytes`: what the connection has brought so far.
  void report(const mmap_push::ReceivedFile& file, uint64_t payload_bytes);

 private:
  const bool json_;
  std::map<std::string, uint64_t> versions_;
  uint64_t payload_before_ = 0;
};

}  // namespace memsync
