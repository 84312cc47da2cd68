// CRC32 of each block of a file, by several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "approaches/mmap_push/thesis/frames.h"
#include "approaches/mmap_push/thesis/settings.h"
#include "lib/os/file_descriptor.h"

namespace memsync::mmap_push::thesis {

// CRC32-IEEE (polynomial 0x04c11db7, reflected): "123456789" gives cbf43926.
BlockHash crc32_of(std::span<const std::byte> bytes);

// Reads up to `into.size()` bytes at `offset`, fewer only at the end of the file.
// Throws std::system_error.
size_t read_at(const FileDescriptor& file, std::span<std::byte> into, uint64_t offset);

struct HashedFile {
  uint64_t size_bytes = 0;
  std::vector<BlockHash> blocks;  // of a short last block: of the bytes that it has
};
// The file's size, and one hash for each block of it. Blocks that a writer changes meanwhile are
// hashed as they were read; those cut off meanwhile, as far as they go.
// Throws std::system_error; EFBIG when the file is larger than settings allow, EINVAL when it is no
// regular file.
HashedFile hash_file(const FileDescriptor& file, const Settings& settings);

}  // namespace memsync::mmap_push::thesis
