#include "approaches/mmap_push/thesis/block_hashes.h"

#include <algorithm>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/region/parallel_chunks.h"

namespace memsync::mmap_push::thesis {

namespace {

// A worker takes this much at a time: few calls, and the bytes stay in the cache for hashing.
constexpr uint64_t kBatchBytes = 256U << 10;

// The blocks [first, end) as they are read; never past the size that was seen: what is appended
// meanwhile belongs to the next round.
void hash_blocks(const FileDescriptor& file, uint64_t block_bytes, uint64_t first, uint64_t end,
                 HashedFile& result) {
  const uint64_t offset = first * block_bytes;
  const uint64_t wanted = std::min(end * block_bytes, result.size_bytes) - offset;
  std::vector<std::byte> buffer(wanted);
  std::span<const std::byte> rest = std::span(buffer).first(read_at(file, buffer, offset));
  for (uint64_t block = first; block < end; ++block) {
    const auto here = rest.first(std::min<size_t>(rest.size(), block_bytes));
    result.blocks[block] = crc32_of(here);
    rest = rest.subspan(here.size());
  }
}

}  // namespace

BlockHash crc32_of(std::span<const std::byte> bytes) {
  return ::crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

size_t read_at(const FileDescriptor& file, std::span<std::byte> into, uint64_t offset) {
  size_t got = 0;
  while (got < into.size()) {
    const ssize_t more =
        ::pread(file.get(), into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
    if (more == 0) break;
    if (more > 0) {
      got += static_cast<size_t>(more);
    } else if (errno != EINTR) {
      throw_errno("reading " + std::to_string(into.size()) + " bytes of the synchronised file");
    }
  }
  return got;
}

HashedFile hash_file(const FileDescriptor& file, const Settings& settings) {
  struct stat status{};
  check(::fstat(file.get(), &status), "asking for the size of the synchronised file");
  // A pipe or a device has size 0 and is not empty.
  if (!S_ISREG(status.st_mode)) throw_errno("the synchronised file is no regular file", EINVAL);
  HashedFile result;
  result.size_bytes = static_cast<uint64_t>(status.st_size);
  if (result.size_bytes > settings.size_limit_bytes)
    throw_errno("a file of " + std::to_string(result.size_bytes) + " bytes, of at most " +
                    std::to_string(settings.size_limit_bytes),
                EFBIG);
  result.blocks.resize((result.size_bytes + settings.block_bytes - 1) / settings.block_bytes);
  const uint64_t batch = std::max<uint64_t>(1, kBatchBytes / settings.block_bytes);
  parallel_chunks(result.blocks.size(), settings.workers, batch, [&](uint64_t first, uint64_t end) {
    hash_blocks(file, settings.block_bytes, first, end, result);
  });
  return result;
}

}  // namespace memsync::mmap_push::thesis
