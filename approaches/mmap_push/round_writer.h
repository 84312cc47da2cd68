// A round's blocks as messages: consecutive ones share one, and their bytes are copied once.
#pragma once

#include <memory>
#include <span>

#include "approaches/mmap_push/frame_stream.h"

namespace memsync::mmap_push {

enum class Compression : uint8_t { off, zstd };

// Blocks come in ascending order. The copy that is sent is the one that is hashed, so that a writer
// who goes on can't come between:
//
//   const auto room = writer.room(block, length);   // fill it, look at it
//   writer.keep();                                  // or zeros(), patch(), or nothing
//
// Throws what FrameStream throws. Threads: one.
class RoundWriter {
 public:
  // `out` outlives this. zstd: runs that become at least an eighth shorter go compressed (level 1).
  RoundWriter(FrameStream& out, uint32_t file, Compression compression, Deadline deadline);

  // `length` bytes, at most kBlockBytesMax; valid until the next call.
  std::span<std::byte> room(uint64_t block, size_t length);
  void keep();
  void zeros(uint64_t block);
  void patch(uint64_t block, std::span<const std::byte> pieces);
  // Sends what there is, and word that the source is still there.
  void keep_alive();
  // Everything has left when it returns.
  void finish();

  uint64_t payload_bytes() const noexcept { return payload_bytes_; }  // sent, without headers

 private:
  void close_run();
  void close_zeros();
  void put(Kind kind, std::span<const std::byte> first, std::span<const std::byte> rest = {});
  void flush();

  FrameStream& out_;
  const uint32_t file_;
  const Compression compression_;
  const Deadline deadline_;
  const std::unique_ptr<std::byte[]> buffer_;
  size_t used_ = 0;  // of the buffer: whole messages, and the run that may still grow
  bool has_run_ = false;
  size_t run_start_ = 0;   // of its header
  uint64_t run_next_ = 0;  // the block that would go on with it
  BlockRun zeros_;         // none while its count is 0
  uint64_t room_block_ = 0;
  size_t room_start_ = 0, room_length_ = 0;
  uint64_t payload_bytes_ = 0;
};

}  // namespace memsync::mmap_push
