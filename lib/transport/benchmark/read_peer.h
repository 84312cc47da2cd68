// What the transport benchmark compares: ways to read 4 KiB pieces of a region from another thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lib/backend/stores.h"
#include "lib/region/content.h"
#include "lib/transport/socket_stream.h"

namespace memsync::benchmarks {

inline constexpr uint32_t kReadBytes = 4096;
inline constexpr uint64_t kRegionBytes = 64ULL << 20;  // larger than a core's caches
inline constexpr size_t kHeaderBytes = 40;

// One server and one client with one connection between. read() is called from one thread.
class ReadPeer {
 public:
  virtual ~ReadPeer() = default;
  // Reads `count` pieces at random offsets, `in_flight` at a time, into memory of its own.
  virtual void read(size_t count, size_t in_flight) = 0;
};

enum class Wire : uint8_t { tcp, unix_socket };

// The region that every server answers from: in memory, all pages present.
inline MemoryBackend& region() {
  static MemoryBackend memory = [] {
    MemoryBackend made(kRegionBytes);
    fill_content(ContentKind::random, 1, made.mapping(), 0);
    return made;
  }();
  return memory;
}

inline uint64_t draw_offset(SeededDraws& draws) {
  return draws.below(kRegionBytes / kReadBytes) * kReadBytes;
}

// Two connected sockets of that kind, as streams' numbers.
std::pair<FileDescriptor, FileDescriptor> connected_sockets(Wire wire);

std::unique_ptr<ReadPeer> make_native_peer(Wire wire);
// Two plain threads, blocking sockets, 40-byte headers, as many answers per call as requests came.
std::unique_ptr<ReadPeer> make_raw_peer(Wire wire);
// The same frames by Boost.Asio's async_read and async_write.
std::unique_ptr<ReadPeer> make_asio_peer(Wire wire);
// gRPC C++, callback API, unary calls; only where it is installed.
std::unique_ptr<ReadPeer> make_grpc_peer(Wire wire);

}  // namespace memsync::benchmarks
