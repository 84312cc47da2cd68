// What the kernel knows about each page of a process: /proc/PID/pagemap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "lib/os/file_descriptor.h"

namespace memsync {

// Threads: any. Source: Linux Documentation/admin-guide/mm/pagemap.rst.
class Pagemap {
 public:
  Pagemap();                             // of this process; throws std::system_error
  explicit Pagemap(FileDescriptor file)  // of another one
      : file_(std::move(file)) {}

  // Whether the page at `address` is in memory or swapped out: false means the next touch faults.
  // Also false when nobody can say.
  bool is_populated(const std::byte* address) const;

  // Calls `found` with the runs of pages that are nowhere, ascending. Reads 8 bytes per page.
  // Throws std::system_error.
  void for_each_absent(std::span<std::byte> pages,
                       const std::function<void(std::span<std::byte>)>& found) const;

  // Finds the pages of `pages`, registered with a Userfault that tracks writes by scanning, that
  // were written since they were last protected. protect: in the same step protects them again, so
  // that no write in between is overlooked. Poisoned pages count as written. `found` is called with
  // runs of pages, ascending. Throws std::system_error.
  enum class Then : uint8_t { leave, protect };
  void for_each_written(std::span<std::byte> pages, Then then,
                        const std::function<void(std::span<std::byte>)>& found) const;

 private:
  FileDescriptor file_;
};

}  // namespace memsync
