#include "approaches/mmap_push/hub/forwarder.h"

#include <array>
#include <poll.h>

#include "lib/os/error.h"

namespace memsync::mmap_push {

namespace {

// Rounds of other files that are sent before an answer is read: answers that nobody reads would
// fill the stream, and the receiver would stop reading.
constexpr size_t kUnansweredMax = 64;

}  // namespace

struct Forwarder::File {
  File(uint32_t its_id, std::shared_ptr<PublishedFile> its_file, const FileDescriptor& wake,
       const std::string& receiver)
      : id(its_id), published(std::move(its_file)), subscription(*published, wake, receiver) {}
  const uint32_t id;
  const std::shared_ptr<PublishedFile> published;
  Subscription subscription;
  uint64_t held_bytes = 0;  // the length of the receiver's version in the making
  uint64_t round = 0;
};

Forwarder::Forwarder(Stream& stream, HubFolder& folder, const std::string& receiver,
                     const ForwarderSettings& settings, ForwarderEvents events, const Hello& heard,
                     Deadline deadline)
    : frames_(stream, Role::source),
      folder_(folder),
      receiver_(receiver),
      settings_(settings),
      events_(std::move(events)) {
  frames_.greet_back(heard, deadline);
  frames_.send(Kind::terms, 0, encode(Terms{folder.seed()}),
               settings_.topology == Topology::fixed ? kFlagStatic : uint8_t{0});
  frames_.flush(deadline);
  folder_.remember(wake_);
}

Forwarder::~Forwarder() {
  folder_.forget(wake_);
}

void Forwarder::serve() {
  try {
    while (true) {
      drain_event(wake_);
      for (const auto& file : files_)
        if (!folder_.is_current(*file->published)) return;
      const bool has_offered = offer_new_files();
      const bool has_sent = send_what_is_missing();
      // Also while a pusher publishes without a pause.
      if (!is_behind_ && (has_sent || has_offered || !has_settled_)) {
        frames_.send(Kind::settled, 0, {});
        frames_.flush(Deadline::max());
        has_settled_ = true;
      }
      if (!has_sent && !has_offered && !wait()) return;
    }
  } catch (const PeerFailure&) {
    throw;
  } catch (const std::system_error&) {
    frames_.look_for_failure();  // a full disk there is a broken pipe here
    throw;
  }
}

bool Forwarder::offer_new_files() {
  const auto files = folder_.published_from(known_);
  known_ += files.size();
  for (const auto& published : files) {
    if (!published || !folder_.is_current(*published) || !events_.may_read(published->name))
      continue;
    files_.push_back(
        std::make_unique<File>(static_cast<uint32_t>(files_.size()), published, wake_, receiver_));
    offer(*files_.back());
  }
  return !files.empty();
}

// The subscription is there already: what is published meanwhile is missing, whatever is answered.
void Forwarder::offer(File& file) {
  PublishedFile& published = *file.published;
  frames_.send(Kind::offer, file.id,
               encode(Offer{published.size_bytes(), published.block_bytes, published.name}));
  frames_.flush(Deadline::max());
  answer(Kind::have, file);
  const Have have = decode_have(frames_.read_rest(Deadline::max()));
  check_size(have.size_bytes, published.block_bytes);
  file.held_bytes = have.size_bytes;
  if (settings_.topology == Topology::fixed) return published.miss_from(file.subscription, 0);
  if (have.seed != folder_.seed()) throw_malformed("digests of another seed than the hub's");
  if (!published.equals(have.table, have.size_bytes)) ask_what_is_missing(file, have.size_bytes);
}

void Forwarder::ask_what_is_missing(File& file, uint64_t held_bytes) {
  PublishedFile& published = *file.published;
  const uint64_t held_blocks = Geometry{held_bytes, published.block_bytes}.chunk_count();
  published.miss_from(file.subscription, held_blocks);
  if (held_blocks == 0) return;
  frames_.send(Kind::ask_table, file.id, encode(BlockRun{0, held_blocks}));
  frames_.flush(Deadline::max());
  for (uint64_t next = 0; next < held_blocks;) {
    answer(Kind::table, file);
    const Table table = decode_table(frames_.read_rest(Deadline::max()));
    if (table.first != next || table.digests.size() > held_blocks - next)
      throw_malformed("digests from block " + std::to_string(table.first) + " on where " +
                      std::to_string(next) + " comes next");
    published.compare(file.subscription, next, table.digests);
    next += table.digests.size();
  }
}

FrameHeader Forwarder::answer(Kind expected, const File& file) {
  const FrameHeader header = frames_.next(Deadline::max());
  if (header.kind != expected || header.file != file.id)
    throw_malformed("a message of kind " + std::to_string(static_cast<int>(header.kind)) +
                    " of file " + std::to_string(header.file) + " as an answer");
  return header;
}

bool Forwarder::send_what_is_missing() {
  bool has_sent = false;
  is_behind_ = false;
  for (const auto& file : files_) {
    has_sent = send_round(*file) || has_sent;
    if (unanswered_.size() >= kUnansweredMax) take_answer();
  }
  while (!unanswered_.empty()) take_answer();
  return has_sent;
}

bool Forwarder::send_round(File& file) {
  auto sending = file.published->take(file.subscription);
  if (!sending) return false;
  const std::shared_ptr<const Version> version = sending->version;
  if (file.held_bytes != version->size_bytes)  // unknown to the receiver from here on
    sending->blocks.add_from(std::min(file.held_bytes, version->size_bytes) /
                             file.published->block_bytes);
  file.held_bytes = version->size_bytes;
  frames_.send(Kind::begin, file.id, encode(Begin{++file.round, version->size_bytes}));
  if (!send_blocks(file, *sending)) {
    file.published->give_back(file.subscription, sending->blocks);
    is_behind_ = true;
    frames_.send(Kind::abandon, file.id, {});
    frames_.flush(Deadline::max());
    return true;
  }
  frames_.send(
      Kind::end, file.id,
      encode(End{.round = file.round, .table = version->table, .suspend = {}, .collect = {}}),
      kFlagPublish);
  frames_.flush(Deadline::max());
  unanswered_.push_back({&file, version->number, {file.round, version->table}});
  return true;
}

// What is left in `sending.blocks` has not been sent; false: the version was taken back.
bool Forwarder::send_blocks(File& file, PublishedFile::Sending& sending) {
  const Geometry geometry{sending.version->size_bytes, file.published->block_bytes};
  RoundWriter writer(frames_, file.id, settings_.compression, Deadline::max());
  BlockSet& blocks = sending.blocks;
  bool is_there = true;
  for (ChunkIndex at = blocks.next(0); at < blocks.count(); at = blocks.next(at + 1)) {
    if (sending.zeros.has(at)) {
      writer.zeros(at);
    } else {
      const auto room = writer.room(at, geometry.chunk_length(at));
      is_there = sending.version->read(room, geometry.chunk_start(at));
      if (!is_there) break;
      writer.keep();
    }
    blocks.remove(at);
  }
  writer.finish();
  payload_.fetch_add(writer.payload_bytes(), std::memory_order_release);
  return is_there;
}

void Forwarder::take_answer() {
  const Unanswered first = unanswered_.front();
  answer(Kind::done, *first.file);
  const Done done = decode_done(frames_.read_rest(Deadline::max()));
  if (done.round != first.expected.round || done.table != first.expected.table)
    throw_malformed("the receiver acknowledged another round, or holds other bytes");
  unanswered_.pop_front();
  first.file->published->acknowledge(first.file->subscription, first.version);
  if (events_.delivered) events_.delivered(first.file->published->name, first.version);
}

// Until there may be something to send; false: the receiver has gone.
bool Forwarder::wait() {
  std::array<pollfd, 2> waits{
      {{frames_.stream().descriptor(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  while (true) {
    if (::poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw_errno("waiting for a new version");
    }
    if (waits[0].revents == 0) return true;
    if (!frames_.is_readable()) continue;  // it was TLS's own
    if (!frames_.wait(Deadline::max())) return false;
    frames_.next(Deadline::max());  // its failure is thrown
    throw_malformed("an answer that nobody asked for");
  }
}

}  // namespace memsync::mmap_push
