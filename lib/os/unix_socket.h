// What a UNIX socket tells and carries besides bytes: who the peer is, and descriptors.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

#include "lib/os/file_descriptor.h"

namespace memsync {

// Connects to the socket at `path`. Throws std::system_error "connecting to <path>".
FileDescriptor connect_to_path(const std::string& path);

// The process that made or accepts the connection, by the kernel's word.
struct Peer {
  pid_t pid = 0;
  uid_t user = 0;
  FileDescriptor process;  // readable when it has ended; never another one with its number
};
// Throws std::system_error, ESRCH when it has ended or lives in a pid namespace not seen from here.
// Source: unix(7), SO_PEERCRED; SO_PEERPIDFD (Linux 6.5) where there is one.
Peer peer_of(int socket);

// Sends all of `bytes`, at least one, and with the first of them the descriptors; they stay open
// here. Blocks. Throws std::system_error (EPIPE and no signal when the peer is gone).
void send_with_descriptors(int socket, std::span<const std::byte> bytes,
                           std::span<const int> descriptors);

// What comes with one call at most; a peer that sends more is refused.
inline constexpr size_t kDescriptorsMax = 4;
// Receives at most `into.size()` bytes and appends the descriptors that came with them, each closed
// on exec: nullopt when nothing is there now, 0 when the peer ended the stream. Throws
// std::system_error, EMSGSIZE when too many descriptors came (then all are closed).
std::optional<size_t> receive_with_descriptors(int socket, std::span<std::byte> into,
                                               std::vector<FileDescriptor>& descriptors);

}  // namespace memsync
