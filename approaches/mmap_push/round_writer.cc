#include "approaches/mmap_push/round_writer.h"

#include <cassert>
#include <cstring>
#include <zstd.h>

namespace memsync::mmap_push {

namespace {

constexpr size_t kRunHeader = sizeof(FrameHeader) + kBlockNumberBytes;
constexpr size_t kZerosMessage = sizeof(FrameHeader) + sizeof(BlockRun);
constexpr size_t kFlushBytes = 256 << 10;  // stays in a CPU's cache
// Whole messages up to a flush, and then one of any length.
constexpr size_t kBufferBytes = kFlushBytes + kZerosMessage + kRunHeader + kPayloadMax;
constexpr int kLevel = 1;

}  // namespace

RoundWriter::RoundWriter(FrameStream& out, uint32_t file, Compression compression,
                         Deadline deadline)
    : out_(out),
      file_(file),
      compression_(compression),
      deadline_(deadline),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferBytes)) {}

std::span<std::byte> RoundWriter::room(uint64_t block, size_t length) {
  assert(length <= kBlockBytesMax);
  const bool goes_on = has_run_ && block == run_next_ && used_ + length <= kFlushBytes;
  if (!goes_on) close_run();
  if (!goes_on && used_ + kRunHeader + length > kFlushBytes) flush();
  room_block_ = block;
  room_start_ = used_ + (zeros_.count > 0 ? kZerosMessage : 0) + (goes_on ? 0 : kRunHeader);
  room_length_ = length;
  return {buffer_.get() + room_start_, length};
}

void RoundWriter::keep() {
  close_zeros();
  if (!has_run_) {
    has_run_ = true;
    run_start_ = used_;
    std::memcpy(buffer_.get() + used_ + sizeof(FrameHeader), &room_block_, kBlockNumberBytes);
    used_ += kRunHeader;
  }
  assert(used_ == room_start_);
  used_ += room_length_;
  run_next_ = room_block_ + 1;
  payload_bytes_ += room_length_;
}

void RoundWriter::zeros(uint64_t block) {
  close_run();
  if (zeros_.count > 0 && zeros_.first + zeros_.count != block) close_zeros();
  if (zeros_.count == 0) zeros_.first = block;
  ++zeros_.count;
}

void RoundWriter::patch(uint64_t block, std::span<const std::byte> pieces) {
  close_run();
  close_zeros();
  put(Kind::patch, std::as_bytes(std::span(&block, 1)), pieces);
  payload_bytes_ += pieces.size();
}

void RoundWriter::keep_alive() {
  close_run();
  close_zeros();
  put(Kind::alive, {});
  flush();
}

void RoundWriter::finish() {
  close_run();
  close_zeros();
  flush();
}

void RoundWriter::close_run() {
  if (!has_run_) return;
  has_run_ = false;
  const size_t start = run_start_ + kRunHeader;
  FrameHeader header{.kind = Kind::blocks, .file = file_};
  if (compression_ == Compression::zstd) {
    const size_t length = used_ - start;
    const auto packed = std::make_unique_for_overwrite<std::byte[]>(length - length / 8);
    const size_t size =
        ZSTD_compress(packed.get(), length - length / 8, buffer_.get() + start, length, kLevel);
    if (ZSTD_isError(size) == 0) {
      std::memcpy(buffer_.get() + start, packed.get(), size);
      used_ = start + size;
      payload_bytes_ -= length - size;
      header.kind = Kind::packed;
    }
  }
  header.payload_bytes = static_cast<uint32_t>(used_ - run_start_ - sizeof header);
  std::memcpy(buffer_.get() + run_start_, &header, sizeof header);
}

void RoundWriter::close_zeros() {
  if (zeros_.count == 0) return;
  put(Kind::zeros, std::as_bytes(std::span(&zeros_, 1)));
  zeros_ = {};
}

void RoundWriter::put(Kind kind, std::span<const std::byte> first,
                      std::span<const std::byte> rest) {
  const size_t length = first.size() + rest.size();
  if (used_ + sizeof(FrameHeader) + length > kBufferBytes) flush();
  const FrameHeader header{
      .kind = kind, .payload_bytes = static_cast<uint32_t>(length), .file = file_};
  for (const auto part : {std::as_bytes(std::span(&header, 1)), first, rest}) {
    if (part.empty()) continue;
    std::memcpy(buffer_.get() + used_, part.data(), part.size());
    used_ += part.size();
  }
}

void RoundWriter::flush() {
  out_.flush(deadline_);
  out_.stream().write_all({buffer_.get(), used_}, deadline_);
  used_ = 0;
}

}  // namespace memsync::mmap_push
