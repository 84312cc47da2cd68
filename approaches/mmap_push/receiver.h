// The receiver's end of a connection: it answers what sender.h asks.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "approaches/mmap_push/frame_stream.h"
#include "approaches/mmap_push/received_folder.h"
#include "lib/os/mutex.h"

namespace memsync::mmap_push {

// Told as they happen, in the thread that serves.
struct ReceiverEvents {
  // A file is offered; throws where it is not to be taken.
  std::function<void(const std::string& name)> offered;
  // A round is there for readers. `end`: its last message.
  std::function<void(ReceivedFile&, const End& end, bool is_final)> published;
  // The round is over. What a reader still holds is caught up with when the next one begins.
  std::function<void()> caught_up;
  // The source's application is being stopped.
  std::function<void()> stopping;
  // A hub: everything that is published there by now has come.
  std::function<void()> settled{};
  // How far a round has come: where in the file, blocks ascend.
  std::function<void(const ReceivedFile&, uint64_t done_bytes)> progress{};
};

// What is known of the other end before it is served.
struct Opposite {
  std::optional<Hello> heard{};  // its greeting, where that has been read already
  bool may_be_hub = false;       // whose terms are taken; from anybody else they are malformed
};

// Foreign bytes, and what the folder can't do, end serve() with an exception after the peer has
// been told and the stream shut down; the version that readers see stays. Threads: serve() from
// one; ask_to_take_over() and the counter from any.
class Receiver {
 public:
  // A source that says nothing for so long within a round or a message has gone.
  static constexpr Nanoseconds kStallLimit = std::chrono::seconds(30);

  // `stream` and `folder` outlive this. The source is greeted.
  Receiver(Stream& stream, ReceivedFolder& folder, ReceiverEvents events, Deadline deadline,
           Nanoseconds stall_limit = kStallLimit, const Opposite& opposite = {});

  // Answers until the source ends the stream between two rounds, or has handed over: returns then.
  // Whoever wants it to end shuts the stream down.
  void serve();
  // Asks the source to hand over. Throws std::system_error.
  void ask_to_take_over(Deadline deadline);

  // Of messages within rounds, as they came.
  uint64_t payload_bytes() const noexcept { return payload_.load(std::memory_order_acquire); }

 private:
  void answer(const FrameHeader& header);
  ReceivedFile& file_of(const FrameHeader& header);
  ReceivedFile& file_in_round(const FrameHeader& header);
  void answer_offer(const FrameHeader& header);
  void say_what_is_held(const FrameHeader& header, const ReceivedFile& received);
  void answer_table(const FrameHeader& header);
  void begin(const FrameHeader& header);
  void take_blocks(const FrameHeader& header);
  void take_zeros(const FrameHeader& header);
  void take_patch(const FrameHeader& header);
  void take_packed(const FrameHeader& header);
  void end(const FrameHeader& header);
  void answer_hub(const FrameHeader& header);
  void agree(const FrameHeader& header);
  // Bytes of consecutive blocks from `first` on, which come after all blocks of the round so far.
  void place(ReceivedFile& received, uint64_t first, std::span<const std::byte> bytes);
  uint64_t read_block_number();
  void claim(uint64_t first, uint64_t count, ReceivedFile& received);
  void reply(Kind kind, uint32_t file, std::span<const std::byte> payload);

  FrameStream frames_;
  ReceivedFolder& folder_;
  const ReceiverEvents events_;
  const Nanoseconds stall_limit_;
  const bool may_be_hub_;
  std::vector<ReceivedFile*> files_;  // by number
  ReceivedFile* in_round_ = nullptr;
  uint64_t next_block_ = 0;  // of the round: lower ones have come or never will
  bool is_over_ = false;
  std::vector<std::byte> bytes_;  // of one message
  std::vector<std::byte> unpacked_;
  std::atomic<uint64_t> payload_ = 0;
  Mutex writing_;  // the stream's writing half
};

// Tells a peer that has just connected why nobody will serve it: what it gets is PeerFailure with
// `error`. Takes 200 ms at most, and throws std::system_error.
void turn_away(Stream& stream, int error, const std::string& why);

}  // namespace memsync::mmap_push
