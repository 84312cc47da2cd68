#include "approaches/mmap_push/receiver.h"

#include <cstring>
#include <zstd.h>

#include "lib/os/error.h"
#include "lib/transport/region_service.h"

namespace memsync::mmap_push {

namespace {

constexpr size_t kDigestsPerMessage = 32 << 10;
constexpr Nanoseconds kTurnAwayLimit = std::chrono::milliseconds(200);

uint64_t length_of(const Geometry& geometry, ChunkIndex first, uint64_t count) {
  const ChunkIndex last = first + count - 1;
  return geometry.chunk_start(last) + geometry.chunk_length(last) - geometry.chunk_start(first);
}

}  // namespace

Receiver::Receiver(Stream& stream, ReceivedFolder& folder, ReceiverEvents events, Deadline deadline,
                   Nanoseconds stall_limit, const Opposite& opposite)
    : frames_(stream, Role::receiver),
      folder_(folder),
      events_(std::move(events)),
      stall_limit_(stall_limit),
      may_be_hub_(opposite.may_be_hub) {
  if (opposite.heard)
    frames_.greet_back(*opposite.heard, deadline);
  else
    frames_.greet(deadline);
}

void Receiver::serve() {
  try {
    while (!is_over_) {
      if (!frames_.wait(in_round_ == nullptr ? Deadline::max() : after(stall_limit_))) {
        if (in_round_ == nullptr) return;
        throw_errno("the source ended the stream in the middle of a round", ECONNRESET);
      }
      const FrameHeader header = frames_.next(after(stall_limit_));
      answer(header);
      if (header.kind == Kind::blocks || header.kind == Kind::packed || header.kind == Kind::patch)
        payload_.fetch_add(header.payload_bytes - kBlockNumberBytes, std::memory_order_release);
    }
  } catch (const std::exception& problem) {
    // Best effort: the peer may be the reason. Not after a final round: the application runs here.
    const auto* error = dynamic_cast<const std::system_error*>(&problem);
    const bool is_errno = error != nullptr && error->code().category() == std::generic_category();
    try {
      if (!is_over_)
        reply(Kind::failed, 0,
              encode(Failure{is_errno ? error->code().value() : 0, problem.what()}));
    } catch (const std::system_error&) {
    }
    frames_.stream().shut_down();
    throw;
  }
}

void Receiver::ask_to_take_over(Deadline deadline) {
  const MutexLock lock(writing_);
  frames_.send(Kind::take_over, 0, {});
  frames_.flush(deadline);
}

void Receiver::reply(Kind kind, uint32_t file, std::span<const std::byte> payload) {
  const MutexLock lock(writing_);
  frames_.send(kind, file, payload);
  frames_.flush(after(stall_limit_));
}

void Receiver::answer(const FrameHeader& header) {
  switch (header.kind) {
    case Kind::offer:
      return answer_offer(header);
    case Kind::ask_table:
      return answer_table(header);
    case Kind::begin:
      return begin(header);
    case Kind::blocks:
      return take_blocks(header);
    case Kind::zeros:
      return take_zeros(header);
    case Kind::patch:
      return take_patch(header);
    case Kind::packed:
      return take_packed(header);
    case Kind::end:
      return end(header);
    case Kind::stopping:
      if (events_.stopping) events_.stopping();
      return;
    case Kind::alive:
      return;
    case Kind::terms:
    case Kind::abandon:
    case Kind::settled:
      return answer_hub(header);
    default:
      throw_malformed("a message that no source sends");  // next() has refused it
  }
}

// A file whose round runs, while one runs.
ReceivedFile& Receiver::file_of(const FrameHeader& header) {
  if (header.file >= files_.size())
    throw_malformed("file " + std::to_string(header.file) + ", which was never offered");
  ReceivedFile* file = files_[header.file];
  if (in_round_ != nullptr && in_round_ != file)
    throw_malformed("a message of another file within a round");
  return *file;
}

ReceivedFile& Receiver::file_in_round(const FrameHeader& header) {
  ReceivedFile& received = file_of(header);
  if (in_round_ == nullptr) throw_malformed("blocks before a round has begun");
  return received;
}

void Receiver::answer_offer(const FrameHeader& header) {
  if (in_round_ != nullptr) throw_malformed("an offer within a round");
  const Offer offer = decode_offer(frames_.read_rest(after(stall_limit_)));
  if ((header.flags & kFlagAnew) != 0) {
    ReceivedFile& received = file_of(header);
    if (offer.name != received.name || offer.block_bytes != received.table.geometry().chunk_bytes)
      throw_malformed("another offer of '" + received.name + "' than before");
    ReceivedFolder::reread(received);
    return say_what_is_held(header, received);
  }
  if (header.file != files_.size()) throw_malformed("files are not numbered in order");
  // Before it is opened: with other blocks it would be opened anew, and the first one be gone.
  for (const ReceivedFile* other : files_)
    if (other->name == offer.name) throw_malformed("a name is offered twice");
  if (events_.offered) events_.offered(offer.name);
  ReceivedFile& received = folder_.open(offer.name, offer.block_bytes);
  files_.push_back(&received);
  say_what_is_held(header, received);
}

void Receiver::say_what_is_held(const FrameHeader& header, const ReceivedFile& received) {
  reply(Kind::have, header.file,
        encode(Have{received.file.size_bytes(), received.table.digest(), received.table.seed()}));
}

void Receiver::answer_table(const FrameHeader& header) {
  const ReceivedFile& received = file_of(header);
  const BlockRun run = decode_run(frames_.read_rest(after(stall_limit_)), received.table.count());
  for (uint64_t next = run.first; next < run.first + run.count; next += kDigestsPerMessage) {
    const auto count = std::min<uint64_t>(kDigestsPerMessage, run.first + run.count - next);
    const auto digests = received.table.digests().subspan(next, count);
    reply(Kind::table, header.file, encode(Table{next, {digests.begin(), digests.end()}}));
  }
}

void Receiver::begin(const FrameHeader& header) {
  ReceivedFile& received = file_of(header);
  if (in_round_ != nullptr) throw_malformed("a round begins within a round");
  const Begin begin = decode_begin(frames_.read_rest(after(stall_limit_)));
  check_size(begin.size_bytes, received.table.geometry().chunk_bytes);
  folder_.check_room(received, begin.size_bytes);
  received.file.catch_up(VersionFile::Patience::none);
  received.file.resize(begin.size_bytes);
  received.table.resize(begin.size_bytes);
  received.round = begin.round;
  in_round_ = &received;
  next_block_ = 0;
}

uint64_t Receiver::read_block_number() {
  uint64_t block = 0;
  frames_.read(std::as_writable_bytes(std::span(&block, 1)), after(stall_limit_));
  return block;
}

// Blocks of a round ascend, so that none comes twice. They are unknown until they are written: a
// connection that ends in between leaves a table that is true.
void Receiver::claim(uint64_t first, uint64_t count, ReceivedFile& received) {
  if (count == 0 || first < next_block_ || !lies_within(first, count, received.table.count()))
    throw_malformed(std::to_string(count) + " blocks from " + std::to_string(first) + " of " +
                    std::to_string(received.table.count()) + ", where " +
                    std::to_string(next_block_) + " is the least that may come");
  next_block_ = first + count;
  if (events_.progress)
    events_.progress(received, std::min(next_block_ * received.table.geometry().chunk_bytes,
                                        received.table.geometry().size_bytes));
  for (uint64_t block = first; block < next_block_; ++block)
    received.table.set(block, BlockTable::kUnknown);
}

void Receiver::take_blocks(const FrameHeader& header) {
  ReceivedFile& received = file_in_round(header);
  const uint64_t first = read_block_number();
  bytes_.resize(header.payload_bytes - kBlockNumberBytes);
  frames_.read(bytes_, after(stall_limit_));
  place(received, first, bytes_);
}

void Receiver::take_packed(const FrameHeader& header) {
  ReceivedFile& received = file_in_round(header);
  const uint64_t first = read_block_number();
  bytes_.resize(header.payload_bytes - kBlockNumberBytes);
  frames_.read(bytes_, after(stall_limit_));
  unpacked_.resize(kBlockBytesMax);
  const size_t length =
      ZSTD_decompress(unpacked_.data(), unpacked_.size(), bytes_.data(), bytes_.size());
  if (ZSTD_isError(length) != 0)
    throw_malformed(std::string("compressed blocks: ") + ZSTD_getErrorName(length));
  place(received, first, std::span(unpacked_).first(length));
}

void Receiver::place(ReceivedFile& received, uint64_t first, std::span<const std::byte> bytes) {
  const Geometry& geometry = received.table.geometry();
  const uint64_t count = (bytes.size() + geometry.chunk_bytes - 1) / geometry.chunk_bytes;
  claim(first, count, received);
  const uint64_t start = geometry.chunk_start(first);
  if (bytes.size() != length_of(geometry, first, count))
    throw_malformed("blocks that are not whole");
  received.file.write(bytes, start);
  if (folder_.digests() == ReceivedFolder::Digests::none) return;
  for (uint64_t i = 0; i < count; ++i) {
    const auto block = bytes.subspan(i * geometry.chunk_bytes, geometry.chunk_length(first + i));
    received.table.set(first + i, received.table.digest_of_block(block));
  }
}

void Receiver::take_zeros(const FrameHeader& header) {
  ReceivedFile& received = file_in_round(header);
  const BlockRun run = decode_run(frames_.read_rest(after(stall_limit_)), received.table.count());
  claim(run.first, run.count, received);
  const Geometry& geometry = received.table.geometry();
  received.file.write_zeros(geometry.chunk_start(run.first),
                            length_of(geometry, run.first, run.count));
  if (folder_.digests() == ReceivedFolder::Digests::none) return;
  for (uint64_t block = run.first; block < run.first + run.count; ++block)
    received.table.set(block, received.table.digest_of_zeros(geometry.chunk_length(block)));
}

void Receiver::take_patch(const FrameHeader& header) {
  ReceivedFile& received = file_in_round(header);
  const uint64_t block = read_block_number();
  if (block >= received.table.count() || received.table.at(block) == BlockTable::kUnknown)
    throw_malformed("a patch of block " + std::to_string(block) + ", which is not held");
  claim(block, 1, received);
  const Geometry& geometry = received.table.geometry();
  const auto payload = frames_.read_rest(after(stall_limit_));
  unpacked_.resize(geometry.chunk_length(block));
  received.file.read(unpacked_, geometry.chunk_start(block));
  for (const PatchPiece& piece : decode_patch(payload, unpacked_.size()))
    std::memcpy(unpacked_.data() + piece.offset, piece.bytes.data(), piece.bytes.size());
  received.file.write(unpacked_, geometry.chunk_start(block));
  received.table.set(block, received.table.digest_of_block(unpacked_));
}

void Receiver::end(const FrameHeader& header) {
  ReceivedFile& received = file_in_round(header);
  const End end = decode_end(frames_.read_rest(after(stall_limit_)));
  if (end.round != received.round) throw_malformed("the end of another round");
  const Digest table =
      folder_.digests() == ReceivedFolder::Digests::kept ? received.table.digest() : end.table;
  in_round_ = nullptr;
  if (table != end.table) {
    const std::string name = received.name;
    folder_.forget(received);
    throw_errno("the blocks of '" + name + "' that came are not those that were sent", EBADMSG);
  }
  const bool is_published = (header.flags & kFlagPublish) != 0;
  if (is_published) {
    const auto digests = received.table.digests();
    if (folder_.digests() == ReceivedFolder::Digests::kept &&
        std::ranges::find(digests, BlockTable::kUnknown) != digests.end())
      throw_malformed("a version of '" + received.name + "' of which a block never came");
    if (received.file.publish()) ++received.versions;
    const bool is_final = (header.flags & kFlagFinal) != 0;
    if (events_.published) events_.published(received, end, is_final);
    is_over_ = is_final;
  }
  reply(Kind::done, header.file, encode(Done{end.round, table}));
  if (!is_published || is_over_) return;
  received.file.catch_up(VersionFile::Patience::some);
  if (events_.caught_up) events_.caught_up();
}

void Receiver::answer_hub(const FrameHeader& header) {
  if (!may_be_hub_) throw_malformed("a hub's message from a source that is none");
  if (header.kind == Kind::terms) return agree(header);
  if (header.kind == Kind::abandon) {
    // What has come stays in the version in the making, and the table knows it.
    file_in_round(header);
    in_round_ = nullptr;
    return;
  }
  if (in_round_ != nullptr) throw_malformed("the end of all rounds within one");
  if (events_.settled) events_.settled();
}

// A hub's word before anything else.
void Receiver::agree(const FrameHeader& header) {
  if (!files_.empty()) throw_malformed("a hub's terms after a file was offered");
  const Terms terms = decode_terms(frames_.read_rest(after(stall_limit_)));
  folder_.agree(terms.seed, (header.flags & kFlagStatic) != 0 ? ReceivedFolder::Digests::none
                                                              : ReceivedFolder::Digests::kept);
}

void turn_away(Stream& stream, int error, const std::string& why) {
  const Deadline deadline = after(kTurnAwayLimit);
  const Hello theirs = read_hello(stream, deadline);
  FrameStream frames(stream, theirs.role == Role::source ? Role::receiver : Role::source);
  frames.greet_back(theirs, deadline);
  frames.send(Kind::failed, 0, encode(Failure{error, why}));
  frames.flush(deadline);
  // A stream that is closed with bytes unread is reset, and may lose the words on their way.
  while (frames.wait(deadline)) frames.next(deadline);
}

}  // namespace memsync::mmap_push
