// A region that is asked for by a service, as a reader: a remote region as a backend.
#pragma once

#include "lib/backend/backend.h"
#include "lib/transport/region_service.h"

namespace memsync {

// Blocks in read_at() until the service has answered or `limit` has passed; concurrent reads share
// the service's window. Threads: any, but never from a completion of the same service, which would
// wait for itself.
class RegionReader : public Reader {
 public:
  // `service`, which outlives this, has at least `size_bytes` bytes.
  RegionReader(RegionService& service, uint64_t size_bytes, Nanoseconds limit)
      : service_(service), size_(size_bytes), limit_(limit) {}
  // Throws std::system_error with the service's error.
  void read_at(std::span<std::byte> into, uint64_t offset) override;
  uint64_t size_bytes() const override { return size_; }
  std::span<const std::byte> readable_memory() const override {
    return service_.borrow({0, size_});
  }

 private:
  RegionService& service_;
  const uint64_t size_;
  const Nanoseconds limit_;
};

}  // namespace memsync
