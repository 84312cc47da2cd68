#include "approaches/mmap_push/sender.h"

#include <cstring>
#include <stdexcept>

#include "approaches/mmap_push/block_table.h"
#include "lib/detection/all_chunks.h"
#include "lib/os/error.h"
#include "lib/region/zeros.h"

namespace memsync::mmap_push {

namespace {

constexpr unsigned kRoundsBeforeStopping = 8;
constexpr size_t kBlocksPerWatch = 256;
constexpr Nanoseconds kAliveInterval = std::chrono::seconds(2);  // of 30 s until it counts as gone
constexpr uint64_t kLittle = 64 << 10;  // bytes that are not worth another round

}  // namespace

struct Sender::File {
  uint32_t id;
  std::string name;
  Source& source;
  BlockTable held;
  uint64_t round = 0;
  bool is_there = true;      // as refresh() last said
  bool is_whole = true;      // nothing of the round's blocks was missing
  bool is_compared = false;  // every block was looked at since the receiver said what it holds
  std::vector<ChunkIndex> candidates{};
  std::vector<std::byte> copies{};  // of the candidates one after the other, or empty
};

Sender::Sender(Stream& stream, const SenderSettings& settings, Deadline deadline)
    : frames_(stream, Role::source), settings_(settings) {
  frames_.greet(deadline);
}

Sender::~Sender() = default;

void Sender::offer(std::string name, Source& source, Deadline deadline) {
  if (const std::string problem = name_problem(name); !problem.empty())
    throw std::invalid_argument(problem);
  auto file = std::make_unique<File>(static_cast<uint32_t>(files_.size()), std::move(name), source,
                                     BlockTable(settings_.block_bytes));
  make_offer(*file, 0, deadline);
  files_.push_back(std::move(file));
}

void Sender::offer_anew(Deadline deadline) {
  for (const auto& file : files_) make_offer(*file, kFlagAnew, deadline);
}

void Sender::make_offer(File& file, uint8_t flags, Deadline deadline) {
  const auto size = file.source.refresh();
  if (size) check_size(*size, settings_.block_bytes);
  frames_.send(Kind::offer, file.id,
               encode(Offer{size.value_or(0), settings_.block_bytes, file.name}), flags);
  frames_.flush(deadline);
  answer(Kind::have, file, deadline);
  const Have have = decode_have(frames_.read_rest(deadline));
  check_size(have.size_bytes, settings_.block_bytes);
  file.held = BlockTable(settings_.block_bytes, have.seed);
  // All of it, also what is behind this source's end: both tables then become the same when the
  // first round begins, whatever the length has become until then.
  receive_table(file, have.size_bytes, deadline);
  file.is_compared = false;
  is_published_ = false;
}

void Sender::receive_table(File& file, uint64_t held_bytes, Deadline deadline) {
  const uint64_t held_blocks = Geometry{held_bytes, settings_.block_bytes}.chunk_count();
  if (held_blocks == 0) return;
  std::vector<Digest> digests;  // grows by what has come, not by what a receiver says it has
  frames_.send(Kind::ask_table, file.id, encode(BlockRun{0, held_blocks}));
  frames_.flush(deadline);
  while (digests.size() < held_blocks) {
    answer(Kind::table, file, deadline);
    const Table table = decode_table(frames_.read_rest(deadline));
    if (table.first != digests.size() || table.digests.size() > held_blocks - digests.size())
      throw_malformed("digests from block " + std::to_string(table.first) + " on where " +
                      std::to_string(digests.size()) + " comes next");
    digests.insert(digests.end(), table.digests.begin(), table.digests.end());
  }
  file.held.resize(held_bytes);
  for (uint64_t block = 0; block < held_blocks; ++block) file.held.set(block, digests[block]);
}

FrameHeader Sender::answer(Kind expected, const File& file, Deadline deadline) {
  while (true) {
    const FrameHeader header = frames_.next(deadline);
    if (header.kind == Kind::take_over) {
      is_asked_ = true;
      continue;
    }
    if (header.kind != expected || header.file != file.id)
      throw_malformed("a message of kind " + std::to_string(static_cast<int>(header.kind)) +
                      " of file " + std::to_string(header.file) + " as an answer");
    return header;
  }
}

bool Sender::is_asked_to_hand_over(Deadline deadline) {
  while (!is_asked_ && frames_.is_readable()) {
    if (frames_.next(deadline).kind != Kind::take_over)
      throw_malformed("an answer that nobody asked for");
    is_asked_ = true;
  }
  return is_asked_;
}

uint64_t Sender::find_changes(Copies copies) {
  uint64_t found = 0;
  bytes_done_ = bytes_found_ = 0;
  for (const auto& file : files_) {
    file->candidates.clear();
    const auto size = file->source.refresh();
    const bool has_come_back = size && !file->is_there;
    file->is_there = size.has_value();
    if (!size) continue;
    check_size(*size, settings_.block_bytes);
    if (has_come_back || *size != file->held.geometry().size_bytes) is_published_ = false;
    file->held.resize(*size);
    file->candidates = file->source.changed();
    if (!file->is_compared) file->candidates = all_chunks(file->held.geometry());
    file->copies.clear();
    if (copies == Copies::now) {
      const Geometry& geometry = file->held.geometry();
      for (const ChunkIndex block : file->candidates) {
        const size_t start = file->copies.size();
        file->copies.resize(start + geometry.chunk_length(block));
        if (!file->source.copy(std::span(file->copies).subspan(start), geometry.chunk_start(block)))
          throw_errno(file->name + " was cut short while its writer was stopped", EIO);
      }
    }
    found += file->candidates.size();
    bytes_found_ += file->candidates.size() * settings_.block_bytes;  // the last one may be short
  }
  return found;
}

bool Sender::run_round(uint8_t flags, Deadline deadline) {
  is_published_ = false;
  try {
    send_round(flags, deadline);
  } catch (const std::system_error&) {
    frames_.look_for_failure();  // a full disk there is a broken pipe here
    throw;
  }
  bool all_whole = true;
  for (const auto& file : files_) {
    if (!file->is_there) continue;
    all_whole = all_whole && file->is_whole;
    try {
      answer(Kind::done, *file, deadline);
    } catch (const PeerFailure&) {
      is_handed_over_ = false;  // it did not run what it was given
      throw;
    }
    const Done done = decode_done(frames_.read_rest(deadline));
    if (done.round != file->round || done.table != file->held.digest())
      throw_malformed("the receiver acknowledged another round, or holds other bytes");
  }
  is_published_ = all_whole && (flags & kFlagPublish) != 0;
  return all_whole;
}

void Sender::send_round(uint8_t flags, Deadline deadline) {
  for (const auto& file : files_) {
    if (!file->is_there) continue;
    frames_.send(Kind::begin, file->id,
                 encode(Begin{++file->round, file->held.geometry().size_bytes}));
    const bool whole = file->is_whole = file->is_compared = send_blocks(*file, deadline);
    End end = final_times_;
    end.round = file->round;
    end.table = file->held.digest();
    frames_.send(Kind::end, file->id, encode(end), whole ? flags : uint8_t{0});
    frames_.flush(deadline);
    is_handed_over_ = whole && (flags & kFlagFinal) != 0;
  }
}

bool Sender::send_blocks(File& file, Deadline deadline) {
  RoundWriter writer(frames_, file.id, settings_.compression, deadline);
  report_.chunks_examined += file.candidates.size();
  bool whole = true;
  Deadline next_word = after(kAliveInterval);
  for (size_t i = 0; i < file.candidates.size() && whole; ++i) {
    whole = send_block(file, writer, i);
    bytes_done_ += settings_.block_bytes;
    if (i % kBlocksPerWatch != 0) continue;
    if (watch_) watch_(bytes_done_, bytes_found_);
    if (Clock::now() < next_word) continue;
    writer.keep_alive();
    next_word = after(kAliveInterval);
  }
  writer.finish();
  report_.payload_bytes += writer.payload_bytes();
  file.candidates.clear();
  file.copies.clear();
  return whole;
}

bool Sender::send_block(File& file, RoundWriter& writer, size_t candidate) {
  const ChunkIndex block = file.candidates[candidate];
  const Geometry& geometry = file.held.geometry();
  const auto room = writer.room(block, geometry.chunk_length(block));
  if (!file.copies.empty()) {
    // All but the last candidate may be the file's short last block.
    std::memcpy(room.data(), file.copies.data() + candidate * geometry.chunk_bytes, room.size());
  } else if (!file.source.copy(room, geometry.chunk_start(block))) {
    return false;
  }
  const Digest digest = file.held.digest_of_block(room);
  std::optional<std::vector<std::byte>> patch;
  const bool is_new = digest != file.held.at(block);
  if (is_new) {
    // What the source kept may be what another receiver holds, or this one before it started anew.
    const auto before = file.source.held(block);
    if (before.size() == room.size() && file.held.digest_of_block(before) == file.held.at(block))
      patch = encode_patch(before, room);
  }
  file.source.note_held(block, room);  // before the writer takes the room back
  if (is_new) {
    if (is_zero(room))
      writer.zeros(block);
    else if (patch)
      writer.patch(block, *patch);
    else
      writer.keep();
    file.held.set(block, digest);
    ++report_.chunks_moved;
  }
  return true;
}

SyncReport Sender::sync(const WriterControl& writer, Deadline deadline) {
  const auto start = Clock::now();
  report_ = {};
  bool published = false;
  while (!published) {
    switch (settings_.consistency) {
      case Consistency::fuzzy:
        published =
            is_all_published(find_changes(Copies::later)) || run_round(kFlagPublish, deadline);
        break;
      case Consistency::quiet:
        if (const uint64_t changes = find_changes(Copies::later); changes == 0)
          published = is_all_published(changes) || run_round(kFlagPublish, deadline);
        if (published) break;
        run_round(0, deadline);
        if (Clock::now() >= deadline)
          throw_errno("waiting until nobody writes; choose consistency fuzzy or snapshot",
                      ETIMEDOUT);
        break;
      case Consistency::snapshot:
        if (!writer.pause)
          throw std::invalid_argument("a snapshot needs a writer that can be stopped");
        published = is_all_published(find_changes(Copies::later));
        if (published || !run_round(0, deadline)) break;
        writer.pause();
        try {
          find_changes(Copies::now);
        } catch (...) {
          if (writer.resume) writer.resume();
          throw;
        }
        if (writer.resume) writer.resume();
        published = run_round(kFlagPublish, deadline);
        break;
    }
    if (!published && Clock::now() >= deadline)
      throw_errno("waiting for a file that is cut short in each round", ETIMEDOUT);
  }
  report_.elapsed = Clock::now() - start;
  return report_;
}

void Sender::hand_over(const WriterControl& writer, Deadline deadline) {
  if (files_.size() != 1) throw std::logic_error("a hand-over is of one file");
  uint64_t last = UINT64_MAX;
  for (unsigned round = 0; round < kRoundsBeforeStopping; ++round) {
    report_ = {};
    find_changes(Copies::later);
    run_round(0, deadline);
    if (report_.payload_bytes <= kLittle || report_.payload_bytes > last / 2) break;
    last = report_.payload_bytes;
  }
  frames_.send(Kind::stopping, files_[0]->id, {});
  frames_.flush(deadline);
  const auto start = Clock::now();
  try {
    try {
      if (writer.pause) writer.pause();
      final_times_.suspend = Clock::now() - start;
      find_changes(Copies::later);
      final_times_.collect = Clock::now() - start - final_times_.suspend;
    } catch (const std::system_error& problem) {
      const bool is_errno = problem.code().category() == std::generic_category();
      frames_.send(Kind::failed, 0,
                   encode(Failure{is_errno ? problem.code().value() : 0, problem.what()}));
      frames_.flush(deadline);
      throw;
    }
    if (!run_round(kFlagPublish | kFlagFinal, deadline))
      throw_errno(files_[0]->name + " was cut short during its hand-over", EIO);
  } catch (...) {
    if (!is_handed_over_ && writer.resume) writer.resume();
    throw;
  }
}

}  // namespace memsync::mmap_push
