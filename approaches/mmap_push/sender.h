// The source's end of a connection: files are offered, and kept equal round by round.
//
//   source                                             receiver
//   offer(name, size) ───────────────────────────────▶ opens its file, digests what it holds
//        ◀──────────────────── have(size, digest) ────
//   ask_table (if it holds something) ───────────────▶
//        ◀──────────────────── table(digests) ────────
//   begin, blocks | zeros | patch | packed …, end ───▶ writes beside what its readers see
//        ◀──────────────────── done(digest) ──────────  the table's digest is right: published
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "approaches/mmap_push/round_writer.h"
#include "approaches/mmap_push/source.h"
#include "approaches/sync_strategy.h"

namespace memsync::mmap_push {

// What the bytes that a sync() publishes have to do with the source.
enum class Consistency : uint8_t {
  fuzzy,     // each block is what it was at some moment since the call
  quiet,     // all of them at one moment: goes on until nobody has written meanwhile. A look that
             // compares takes its time: values that come back within it may never have met
  snapshot,  // all of them at one moment: who writes is stopped while the changes are copied
};

struct SenderSettings {
  Consistency consistency = Consistency::fuzzy;
  Compression compression = Compression::off;
  uint32_t block_bytes = 4096;  // a power of two, 4096 to kBlockBytesMax
};

// Stops and starts who writes to the sources. Empty functions: nobody can.
struct WriterControl {
  std::function<void()> pause, resume;
};

// Throws std::system_error. After an exception the connection is good for nothing more; another
// sender of the same sources goes on where this one stopped, for the receiver says what it holds.
// Threads: one.
class Sender {
 public:
  // Greets the receiver. `stream` outlives this.
  Sender(Stream& stream, const SenderSettings& settings, Deadline deadline);
  ~Sender();

  // Adds a file; `source` outlives this. Throws std::invalid_argument for a name that no receiver
  // takes (name_problem()).
  void offer(std::string name, Source& source, Deadline deadline);

  // Offers all files once more: the receiver digests what its readers see, whatever it knew, and
  // the next sync() compares every block with that.
  void offer_anew(Deadline deadline);

  // Told while blocks are looked at and sent; what it throws ends the sync().
  //   done, total  bytes of the blocks that may have changed, of all files and of this round
  using Watch = std::function<void(uint64_t done, uint64_t total)>;
  void watch(Watch watch) { watch_ = std::move(watch); }

  // Brings every file to the receiver, as `consistency` says, and publishes it there. A receiver
  // that has everything hears nothing. quiet: ETIMEDOUT when nobody rests before the deadline.
  // snapshot needs `writer`.
  SyncReport sync(const WriterControl& writer, Deadline deadline);

  // The hand-over of the one file there is: rounds that nobody sees while the application runs, a
  // last one after `pause`. When it throws before the last message has left, `resume` has been
  // called and the source still owns; afterwards nobody here can know whether the receiver runs, so
  // the application stays stopped.
  void hand_over(const WriterControl& writer, Deadline deadline);
  bool is_handed_over() const noexcept { return is_handed_over_; }

  // Whether the receiver has asked for the hand-over by now.
  bool is_asked_to_hand_over(Deadline deadline);

 private:
  struct File;
  void make_offer(File& file, uint8_t flags, Deadline deadline);
  // Which blocks may have changed, and their bytes where they had to be copied at once.
  enum class Copies : uint8_t { later, now };
  uint64_t find_changes(Copies copies);
  bool is_all_published(uint64_t changes) const { return changes == 0 && is_published_; }
  // One round of every file with the changes that were found. Returns false when a file was cut
  // short meanwhile: what was sent of it is no whole version.
  bool run_round(uint8_t flags, Deadline deadline);
  void send_round(uint8_t flags, Deadline deadline);
  bool send_blocks(File& file, Deadline deadline);
  bool send_block(File& file, RoundWriter& writer, size_t candidate);
  void receive_table(File& file, uint64_t held_bytes, Deadline deadline);
  FrameHeader answer(Kind expected, const File& file, Deadline deadline);

  FrameStream frames_;
  const SenderSettings settings_;
  std::vector<std::unique_ptr<File>> files_;
  SyncReport report_;
  Watch watch_;
  uint64_t bytes_done_ = 0, bytes_found_ = 0;  // of the round
  End final_times_;
  bool is_published_ = false;  // what was sent until now, and all of it
  bool is_asked_ = false;
  bool is_handed_over_ = false;
};

}  // namespace memsync::mmap_push
