#include "approaches/mmap_push/thesis/block_hashes.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mutex.h"

namespace memsync::mmap_push::thesis {

namespace {

// A worker takes this much at a time: few calls, and the bytes stay in the cache for hashing.
constexpr uint64_t kBatchBytes = 256U << 10;

// Hands out batches of blocks to the workers of one pass. Threads: work() from any.
class HashPass {
 public:
  HashPass(const FileDescriptor& file, const Settings& settings, HashedFile& result)
      : file_(file),
        result_(result),
        block_bytes_(settings.block_bytes),
        batch_blocks_(std::max<uint64_t>(1, kBatchBytes / block_bytes_)) {}

  uint64_t batch_count() const {
    return (result_.blocks.size() + batch_blocks_ - 1) / batch_blocks_;
  }

  void work() noexcept {
    try {
      std::vector<std::byte> buffer(batch_blocks_ * block_bytes_);
      while (true) {
        const uint64_t first = next_.fetch_add(1, std::memory_order_relaxed) * batch_blocks_;
        if (first >= result_.blocks.size()) return;
        hash_batch(first, buffer);
      }
    } catch (...) {
      next_.store(batch_count(), std::memory_order_relaxed);
      MutexLock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void rethrow_failure() const {
    MutexLock lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void hash_batch(uint64_t first, std::span<std::byte> buffer) {
    const uint64_t end = std::min<uint64_t>(first + batch_blocks_, result_.blocks.size());
    // Never past the size that was seen: what is appended meanwhile belongs to the next round.
    const uint64_t offset = first * block_bytes_;
    const uint64_t wanted = std::min(end * block_bytes_, result_.size_bytes) - offset;
    std::span<const std::byte> rest =
        buffer.first(read_at(file_, buffer.first(static_cast<size_t>(wanted)), offset));
    for (uint64_t block = first; block < end; ++block) {
      const auto here = rest.first(std::min<size_t>(rest.size(), block_bytes_));
      result_.blocks[block] = crc32_of(here);
      rest = rest.subspan(here.size());
    }
  }

  const FileDescriptor& file_;
  HashedFile& result_;
  const uint64_t block_bytes_;
  const uint64_t batch_blocks_;
  std::atomic<uint64_t> next_{0};
  mutable Mutex mutex_;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
};

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
  HashPass pass(file, settings, result);
  const uint64_t wanted =
      settings.workers > 0 ? settings.workers : std::max(1U, std::thread::hardware_concurrency());
  {
    std::vector<std::jthread> helpers;
    for (uint64_t i = 1; i < std::min(wanted, pass.batch_count()); ++i)
      helpers.emplace_back([&pass] { pass.work(); });
    pass.work();
  }
  pass.rethrow_failure();
  return result;
}

}  // namespace memsync::mmap_push::thesis
