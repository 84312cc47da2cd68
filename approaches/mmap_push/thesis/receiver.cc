#include "approaches/mmap_push/thesis/receiver.h"

#include <algorithm>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "approaches/mmap_push/thesis/block_hashes.h"
#include "lib/os/error.h"

namespace memsync::mmap_push::thesis {

namespace {

constexpr uint64_t kTakeBytes = 256U << 10;  // of blocks, per read from the stream

void write_at(const FileDescriptor& file, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t moved =
        ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (moved < 0 && errno == EINTR) continue;
    check(moved, "writing " + std::to_string(bytes.size()) + " bytes of the received file");
    bytes = bytes.subspan(static_cast<size_t>(moved));
    offset += static_cast<uint64_t>(moved);
  }
}

void set_size(const FileDescriptor& file, uint64_t size_bytes) {
  check(::ftruncate(file.get(), static_cast<off_t>(size_bytes)),
        "setting the received file to " + std::to_string(size_bytes) + " bytes");
}

}  // namespace

ThesisReceiver::ThesisReceiver(std::unique_ptr<Stream> stream, SyncedFile file,
                               const Settings& settings)
    : stream_(std::move(stream)), file_(std::move(file)), settings_(settings) {
  require_sound(settings_);
}

void ThesisReceiver::serve(std::stop_token stop, const std::function<void(uint64_t)>& written) {
  // Declared first, so that the stream ends last.
  struct Ending {
    Stream& stream;
    ~Ending() { stream.shut_down(); }
  } const ending{*stream_};
  const std::stop_callback on_stop(stop, [this] { stream_->shut_down(); });
  try {
    while (const auto payload_bytes = round())
      if (written) written(*payload_bytes);
  } catch (const std::system_error&) {
    if (!stop.stop_requested()) throw;
  }
}

std::optional<uint64_t> ThesisReceiver::round() {
  const FileDescriptor file = file_.open_to_write();
  const auto list = exchange(file);
  if (!list) return std::nullopt;
  const auto blocks = decode_indexes(*list, settings_.blocks_max());
  const Cutoff cutoff =
      decode_cutoff(read_frame(*stream_, frame_limit(0), soon()), settings_.block_bytes);
  if (!cutoff) {
    if (!blocks.empty())
      throw_errno("the peer of the thesis's protocol sent blocks of an empty file", EPROTO);
    set_size(file, 0);
  } else if (!blocks.empty()) {
    const uint64_t end = (blocks.back() + 1) * settings_.block_bytes - *cutoff;
    if (end > settings_.size_limit_bytes)
      throw_errno("the peer of the thesis's protocol has a file of " + std::to_string(end) +
                      " bytes, of at most " + std::to_string(settings_.size_limit_bytes),
                  EPROTO);
    set_size(file, end);
    return take_blocks(file, blocks, end);
  }
  return 0;
}

std::optional<std::vector<std::byte>> ThesisReceiver::exchange(const FileDescriptor& file) {
  const auto hashes = encode_hashes(hash_file(file, settings_).blocks);
  try {
    // The source may read this only when its next round begins, and how often that is is its
    // business: no limit but the stream's life.
    stream_->write_all(hashes, Deadline::max());
    return next_frame(*stream_, frame_limit(settings_.blocks_max()), settings_.patience);
  } catch (const std::system_error& error) {
    // A source that left without reading the list shows itself so; it had not answered.
    if (error.code() == std::errc::broken_pipe) return std::nullopt;
    throw;
  }
}

uint64_t ThesisReceiver::take_blocks(const FileDescriptor& file, std::span<const uint64_t> blocks,
                                     uint64_t end) {
  const uint64_t block_bytes = settings_.block_bytes;
  const uint64_t most = std::max(kTakeBytes / block_bytes, uint64_t{1});
  uint64_t payload_bytes = 0;
  std::vector<std::byte> buffer(std::min<uint64_t>(most, blocks.size()) * block_bytes);
  while (!blocks.empty()) {
    // As many as follow each other in the file, too: one write.
    uint64_t count = 1;
    while (count < blocks.size() && count < most && blocks[count] == blocks[0] + count) ++count;
    const uint64_t offset = blocks[0] * block_bytes;
    const auto bytes =
        std::span(buffer).first(static_cast<size_t>(std::min(count * block_bytes, end - offset)));
    stream_->read_all(bytes, soon());
    write_at(file, bytes, offset);
    blocks = blocks.subspan(static_cast<size_t>(count));
    payload_bytes += bytes.size();
  }
  return payload_bytes;
}

}  // namespace memsync::mmap_push::thesis
