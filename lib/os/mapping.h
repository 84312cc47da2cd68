// A mapping of memory that unmaps itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/mman.h>
#include <utility>

#include "lib/os/file_descriptor.h"

namespace memsync {

uint64_t page_bytes() noexcept;  // the running kernel's page size
inline uint64_t round_up_to_page(uint64_t bytes) noexcept {
  return (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
}

// Whether pages are there before the first touch.
enum class Population : uint8_t { on_demand, at_once };

// `size_bytes` bytes of address space, rounded up to pages by the kernel; bytes() has exactly
// size_bytes, page_span() the whole pages. Move-only. Throws std::system_error when mapping fails.
class Mapping {
 public:
  Mapping() noexcept = default;
  // Private zero pages.
  static Mapping anonymous(uint64_t size_bytes, Population population = Population::on_demand);
  // A file or memory file, shared (MAP_SHARED); `protection` as for mmap(2).
  static Mapping shared(const FileDescriptor& file, uint64_t size_bytes,
                        int protection = PROT_READ | PROT_WRITE);

  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  std::span<std::byte> bytes() const noexcept { return {address_, size_}; }
  std::span<std::byte> page_span() const noexcept { return {address_, round_up_to_page(size_)}; }

 private:
  Mapping(std::byte* address, uint64_t size) noexcept : address_(address), size_(size) {}
  std::byte* address_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace memsync
