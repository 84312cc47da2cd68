// A stream that passes everything on to another one: a base for what tests and probes put between.
#pragma once

#include "lib/transport/stream.h"

namespace memsync::mmap_push {

// Threads: as Stream. `next` outlives this.
class PassingStream : public Stream {
 public:
  explicit PassingStream(Stream& next) : next_(next) {}
  std::optional<size_t> read_some(std::span<const iovec> into) override {
    return next_.read_some(into);
  }
  std::optional<size_t> write_some(std::span<const iovec> from) override {
    return next_.write_some(from);
  }
  int descriptor() const noexcept override { return next_.descriptor(); }
  bool has_pending() const noexcept override { return next_.has_pending(); }
  void shut_down() noexcept override { next_.shut_down(); }
  uint64_t bytes_read() const noexcept override { return next_.bytes_read(); }
  uint64_t bytes_written() const noexcept override { return next_.bytes_written(); }

 private:
  Stream& next_;
};

}  // namespace memsync::mmap_push
