#include "approaches/mmap_push/thesis/source.h"

#include <algorithm>
#include <utility>

#include "approaches/mmap_push/thesis/block_hashes.h"
#include "lib/os/error.h"

namespace memsync::mmap_push::thesis {

namespace {

constexpr uint64_t kSendBytes = 256U << 10;  // of blocks, per write to the stream
// A writer that cuts the file off again and again must not hold up a round for ever.
constexpr int kShrunkAnswersMax = 4;

// Which blocks a receiver with `theirs` lacks. If it lacks any, or has too many, the last block is
// among them: a receiver takes the file's size from the last one listed.
std::vector<uint64_t> differing(std::span<const BlockHash> ours,
                                std::span<const BlockHash> theirs) {
  std::vector<uint64_t> blocks;
  for (uint64_t block = 0; block < ours.size(); ++block)
    if (block >= theirs.size() || ours[block] != theirs[block]) blocks.push_back(block);
  const bool anything = !blocks.empty() || theirs.size() > ours.size();
  if (anything && !ours.empty() && (blocks.empty() || blocks.back() != ours.size() - 1))
    blocks.push_back(ours.size() - 1);
  return blocks;
}

// Ends a stream that went out of step, unless told that it did not.
class EndsStream {
 public:
  explicit EndsStream(Stream& stream) noexcept : stream_(stream) {}
  ~EndsStream() {
    if (!in_step_) stream_.shut_down();
  }
  EndsStream(const EndsStream&) = delete;
  EndsStream& operator=(const EndsStream&) = delete;
  void in_step() noexcept { in_step_ = true; }

 private:
  Stream& stream_;
  bool in_step_ = false;
};

}  // namespace

ThesisSource::ThesisSource(std::unique_ptr<Stream> stream, SyncedFile file,
                           const Settings& settings)
    : stream_(std::move(stream)), file_(std::move(file)), settings_(settings) {
  require_sound(settings_);
}

SyncReport ThesisSource::round(Deadline deadline) {
  const auto start = Clock::now();
  SyncReport report;
  if (!waiting_) waiting_ = receive_hashes(deadline);
  int shrunk = 0;
  while (true) {
    const Answer last = answer(*waiting_, report, deadline);
    waiting_.reset();
    waiting_ = receive_hashes(deadline);
    if (last.sent == *waiting_ && (last.is_whole || ++shrunk == kShrunkAnswersMax)) break;
    if (Clock::now() >= deadline) {
      stream_->shut_down();
      throw_errno("waiting until the receiver holds what it was sent", ETIMEDOUT);
    }
  }
  report.elapsed = Clock::now() - start;
  return report;
}

ThesisSource::Hashes ThesisSource::receive_hashes(Deadline deadline) {
  EndsStream guard(*stream_);
  const uint64_t blocks_max = settings_.blocks_max();
  Hashes hashes =
      decode_hashes(read_frame(*stream_, frame_limit(blocks_max), deadline), blocks_max);
  guard.in_step();
  return hashes;
}

ThesisSource::Answer ThesisSource::answer(const Hashes& theirs, SyncReport& report,
                                          Deadline deadline) {
  // What fails in here leaves the receiver waiting, with all it has.
  const FileDescriptor file = file_.open_to_read();
  HashedFile ours = hash_file(file, settings_);

  EndsStream guard(*stream_);
  const auto blocks = differing(ours.blocks, theirs);
  const uint64_t size = ours.size_bytes;
  const bool becomes_empty = size == 0 && !theirs.empty();
  stream_->write_all(encode_indexes(blocks), deadline);
  stream_->write_all(
      encode_cutoff(becomes_empty ? Cutoff{} : ours.blocks.size() * settings_.block_bytes - size),
      deadline);
  Answer answer{.sent = std::move(ours.blocks)};
  send_blocks(file, size, blocks, answer, deadline);
  guard.in_step();

  report.chunks_examined += answer.sent.size();
  report.chunks_moved += blocks.size();
  for (const uint64_t block : blocks)
    report.payload_bytes += std::min(settings_.block_bytes, size - block * settings_.block_bytes);
  return answer;
}

void ThesisSource::send_blocks(const FileDescriptor& file, uint64_t size_bytes,
                               std::span<const uint64_t> blocks, Answer& answer,
                               Deadline deadline) {
  const uint64_t block_bytes = settings_.block_bytes;
  std::vector<std::byte> buffer(
      std::min<uint64_t>(std::max(kSendBytes / block_bytes, uint64_t{1}), blocks.size()) *
      block_bytes);
  size_t filled = 0;
  for (const uint64_t block : blocks) {
    const uint64_t offset = block * block_bytes;
    const auto place = std::span(buffer).subspan(
        filled, static_cast<size_t>(std::min(block_bytes, size_bytes - offset)));
    // The file may have changed since it was hashed: what counts is what goes out. Cut off since
    // then, the bytes that were announced must come all the same.
    const size_t got = read_at(file, place, offset);
    std::ranges::fill(place.subspan(got), std::byte{0});
    answer.is_whole = answer.is_whole && got == place.size();
    answer.sent[block] = crc32_of(place);
    filled += place.size();
    if (buffer.size() - filled < block_bytes) {
      stream_->write_all(std::span(buffer).first(filled), deadline);
      filled = 0;
    }
  }
  stream_->write_all(std::span(buffer).first(filled), deadline);
}

}  // namespace memsync::mmap_push::thesis
