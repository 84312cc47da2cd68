// The stores that need nothing but this host: memory, a file, seeded content, zeros.
#pragma once

#include <memory>
#include <string>

#include "lib/backend/backend.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/mapping.h"
#include "lib/region/content.h"

namespace memsync {

// Bytes in memory of this process. Concurrent calls that overlap race as plain memory does.
class MemoryBackend : public Backend {
 public:
  explicit MemoryBackend(uint64_t size_bytes);  // zeros
  explicit MemoryBackend(Mapping mapping);      // takes the mapping over
  void read_at(std::span<std::byte> into, uint64_t offset) override;
  void write_at(std::span<const std::byte> from, uint64_t offset) override;
  void sync() override {}  // memory is as durable as its process
  uint64_t size_bytes() const override { return mapping_.bytes().size(); }
  std::span<std::byte> mapping() override { return mapping_.bytes(); }
  std::span<const std::byte> readable_memory() const override { return mapping_.bytes(); }

 private:
  Mapping mapping_;
};

// The bytes of a file by pread(2) and pwrite(2); sync() is fdatasync(2). The size is the file's
// when it was opened; a file cut short afterwards gives EIO, never a signal.
class FileBackend : public Backend {
 public:
  enum class Mode : uint8_t { read_only, read_write };
  // Throws std::system_error naming the path.
  FileBackend(const std::string& path, Mode mode);
  // Makes a file of `size_bytes` zeros, or cuts or grows the one that is there.
  static FileBackend create(const std::string& path, uint64_t size_bytes);
  void read_at(std::span<std::byte> into, uint64_t offset) override;
  void write_at(std::span<const std::byte> from, uint64_t offset) override;
  void sync() override;
  uint64_t size_bytes() const override { return size_; }

 private:
  std::string path_;
  FileDescriptor file_;
  uint64_t size_ = 0;
};

// Seeded content, computed when it is read; stores nothing.
class PatternReader : public Reader {
 public:
  PatternReader(ContentKind kind, uint64_t seed, uint64_t size_bytes)
      : kind_(kind), seed_(seed), size_(size_bytes) {}
  void read_at(std::span<std::byte> into, uint64_t offset) override;
  uint64_t size_bytes() const override { return size_; }

 private:
  ContentKind kind_;
  uint64_t seed_;
  uint64_t size_;
};

// A reader where a store is wanted: every write is refused (EROFS).
class ReadOnlyStore : public Backend {
 public:
  explicit ReadOnlyStore(std::unique_ptr<Reader> bytes) : bytes_(std::move(bytes)) {}
  void read_at(std::span<std::byte> into, uint64_t offset) override {
    bytes_->read_at(into, offset);
  }
  void write_at(std::span<const std::byte> from, uint64_t offset) override;
  void sync() override {}
  uint64_t size_bytes() const override { return bytes_->size_bytes(); }
  std::span<const std::byte> readable_memory() const override { return bytes_->readable_memory(); }

 private:
  std::unique_ptr<Reader> bytes_;
};

// Throws std::out_of_range naming both, unless [offset, offset + length) lies within size_bytes.
void check_range(uint64_t offset, uint64_t length, uint64_t size_bytes);

}  // namespace memsync
