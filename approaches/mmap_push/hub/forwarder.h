// A hub's end of a receiver's connection: every published file, each version that comes, at the
// receiver's pace.
//
//   hub                                                receiver
//   terms(seed, static?) ────────────────────────────▶ digests by that seed, or none at all
//   offer(name) ─────────────────────────────────────▶ now, and of each file that comes later
//        ◀──────────────────── have, table ──────────  compared with the digests the hub knows
//   begin, blocks | zeros | packed …, end ───────────▶ one published version, what is missing of it
//          … abandon, begin … ───────────────────────▶ it is there no longer: the next one
//        ◀──────────────────── done ─────────────────
//   settled ─────────────────────────────────────────▶ nothing is missing
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "approaches/mmap_push/hub/hub_folder.h"
#include "approaches/mmap_push/round_writer.h"

namespace memsync::mmap_push {

// dynamic: every receiver digests what it holds and what comes, and gets what it lacks. fixed: none
// does; whoever joins, or comes back, gets all of it, and the same rounds as the others from then
// on.
enum class Topology : uint8_t { dynamic, fixed };

struct ForwarderSettings {
  Topology topology = Topology::dynamic;
  Compression compression = Compression::off;
};

// Told in the thread that serves.
struct ForwarderEvents {
  // Whether this receiver may have that file.
  std::function<bool(const std::string& name)> may_read;
  // Its readers see that version.
  std::function<void(const std::string& name, uint64_t version)> delivered;
};

// What is held for a receiver: one bit per block of each file, twice while a round is under way,
// and buffers of 2 MiB at most. Threads: serve() from one; payload_bytes() from any.
class Forwarder {
 public:
  // Greets the receiver, which said `heard`. All references outlive this. `receiver`: its title in
  // holdings().
  Forwarder(Stream& stream, HubFolder& folder, const std::string& receiver,
            const ForwarderSettings& settings, ForwarderEvents events, const Hello& heard,
            Deadline deadline);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // Until the receiver ends the stream, or must come again because a file's blocks have another
  // size. Throws std::system_error, PeerFailure with what the receiver says of itself. Whoever
  // wants it to end shuts the stream down.
  void serve();

  uint64_t payload_bytes() const noexcept { return payload_.load(std::memory_order_acquire); }

 private:
  struct File;
  bool offer_new_files();
  void offer(File& file);
  void ask_what_is_missing(File& file, uint64_t held_bytes);
  bool send_what_is_missing();
  bool send_round(File& file);
  bool send_blocks(File& file, PublishedFile::Sending& sending);
  void take_answer();
  FrameHeader answer(Kind expected, const File& file);
  bool wait();

  FrameStream frames_;
  HubFolder& folder_;
  const std::string& receiver_;
  const ForwarderSettings settings_;
  const ForwarderEvents events_;
  const FileDescriptor wake_ = FileDescriptor::event();
  size_t known_ = 0;        // of the folder's published files
  bool is_behind_ = false;  // a round was abandoned, what was published before it has not all come
  bool has_settled_ = false;  // the receiver has heard so once
  std::vector<std::unique_ptr<File>> files_;
  struct Unanswered {
    File* file;
    uint64_t version;
    Done expected;
  };
  std::deque<Unanswered> unanswered_;  // rounds whose `done` is on its way
  std::atomic<uint64_t> payload_ = 0;
};

}  // namespace memsync::mmap_push
