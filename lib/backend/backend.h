// Where a region's bytes are kept: what every approach reads from and lands in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace memsync {

// Random-access bytes: memory, a file, an object, a computed pattern. The one thing a reader of
// the pull approaches needs. Threads: calls may come from several threads at once.
// Throws std::system_error when the store fails, std::out_of_range past size_bytes().
class Reader {
 public:
  virtual ~Reader() = default;
  virtual void read_at(std::span<std::byte> into, uint64_t offset) = 0;  // fills `into` whole
  virtual uint64_t size_bytes() const = 0;
  // The bytes themselves where they stand in memory that cannot fail to be read; empty otherwise.
  virtual std::span<const std::byte> readable_memory() const { return {}; }
};

class Backend : public Reader {
 public:
  virtual void write_at(std::span<const std::byte> from,
                        uint64_t offset) = 0;  // takes `from` whole
  virtual void sync() = 0;  // returns once earlier writes are durable in the store
  // The bytes themselves where the store is memory; empty otherwise. A mapped file that another
  // process may truncate is not memory in this sense: reading it can end in SIGBUS.
  virtual std::span<std::byte> mapping() { return {}; }
};

}  // namespace memsync
