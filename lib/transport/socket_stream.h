// A connected stream socket, TCP or UNIX, as a Stream.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "lib/os/file_descriptor.h"
#include "lib/transport/stream.h"

namespace memsync {

// Payload bytes of all streams of one network.
struct ByteCounters {
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> sent{0};
};

// Moves bytes by plain recvmsg(2) and sendmsg(2) that never block and never raise SIGPIPE.
// Threads: as Stream.
class SocketStream : public Stream {
 public:
  // `counters` is shared by the network and its streams, which may outlive it.
  SocketStream(FileDescriptor socket, std::shared_ptr<ByteCounters> counters)
      : socket_(std::move(socket)), counters_(std::move(counters)) {}

  std::optional<size_t> read_some(std::span<const iovec> into) override;
  std::optional<size_t> write_some(std::span<const iovec> from) override;
  int descriptor() const noexcept override { return socket_.get(); }
  void shut_down() noexcept override;
  uint64_t bytes_read() const noexcept override { return read_.load(std::memory_order_relaxed); }
  uint64_t bytes_written() const noexcept override {
    return written_.load(std::memory_order_relaxed);
  }

 private:
  FileDescriptor socket_;
  std::shared_ptr<ByteCounters> counters_;
  std::atomic<uint64_t> read_{0};
  std::atomic<uint64_t> written_{0};
};

}  // namespace memsync
