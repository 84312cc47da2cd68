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

  // Finds the pages of `pages` that were written since a Userfault protected them. protect, where
  // that one tracks writes by scanning: in the same step protects them again, so that no write in
  // between is overlooked. Poisoned pages count as written. `found` is called with runs of pages,
  // ascending. Throws std::system_error (ENOTTY before Linux 6.7).
  //
  // A page that was written and then taken out of the mapping (by reclaim where a file is behind
  // it, by madvise(2)) has left nothing behind, while a protected one has left a mark: so where
  // absent pages were protected as well, an absent page without a mark counts as written.
  enum class Then : uint8_t { leave, protect };
  enum class Absent : uint8_t { left_out, written_without_mark };
  void for_each_written(std::span<std::byte> pages, Then then, Absent absent,
                        const std::function<void(std::span<std::byte>)>& found) const;
  // The same as for_each_written(pages, leave, written_without_mark), by reading 8 bytes per page,
  // about 70 times as slow, where PAGEMAP_SCAN lacks. Since Linux 5.14.
  void for_each_unprotected(std::span<std::byte> pages,
                            const std::function<void(std::span<std::byte>)>& found) const;
  // Finds the pages that were written since clear_soft_dirty(), or that are nowhere: of those
  // nobody knows. Reads 8 bytes per page. Throws std::system_error.
  void for_each_soft_dirty(std::span<std::byte> pages,
                           const std::function<void(std::span<std::byte>)>& found) const;
  // Of all of this process' memory, whoever else looks at it. Throws std::system_error.
  static void clear_soft_dirty();
  // Whether this kernel keeps soft-dirty bits: without CONFIG_MEM_SOFT_DIRTY all read 0.
  static bool has_soft_dirty();

 private:
  // Runs of pages for whose entry `wanted` says yes. Throws std::system_error naming `attempt`.
  void for_each_entry(std::span<std::byte> pages, const char* attempt,
                      bool (*wanted)(uint64_t entry),
                      const std::function<void(std::span<std::byte>)>& found) const;
  FileDescriptor file_;
};

}  // namespace memsync
