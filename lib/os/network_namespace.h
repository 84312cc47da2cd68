// A network namespace without a name: it lives as long as this object or a process inside it.
#pragma once

#include <functional>
#include <string>

#include "lib/os/file_descriptor.h"

namespace memsync {

// Holds the namespace by a descriptor alone, so that a conductor that is killed leaves nothing
// behind: no name under /run/netns, no holder process. Move-only.
// Source: namespaces(7), "The /proc/pid/ns/ directory"; setns(2).
class NetworkNamespace {
 public:
  // A new one with the loopback device up. Throws std::system_error (EPERM without privilege).
  static NetworkNamespace create();
  // The one this process runs in.
  static NetworkNamespace current();

  // Runs `work` in a thread that has entered the namespace, and waits; rethrows what it throws.
  void run(const std::function<void()>& work) const;
  // Writes a sysctl of this namespace: set("net/ipv4/tcp_rmem", "4096 ...").
  void set_sysctl(const std::string& name, const std::string& value) const;
  std::string get_sysctl(const std::string& name) const;

  const FileDescriptor& descriptor() const noexcept { return descriptor_; }

 private:
  explicit NetworkNamespace(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}
  FileDescriptor descriptor_;
};

}  // namespace memsync
