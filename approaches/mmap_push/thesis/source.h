// The thesis's protocol at the source: answers a receiver's hashes with the blocks that differ.
//
//   round()                                           receiver
//     waits for its list of hashes   <──────────────  hashes its file
//     hashes the file, compares
//     indexes, cutoff, blocks        ──────────────>  sets the size, writes the blocks
//     waits for its next list        <──────────────  hashes its file again
//     equal to what was sent? returns; else answers again
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "approaches/mmap_push/thesis/frames.h"
#include "approaches/mmap_push/thesis/settings.h"
#include "approaches/mmap_push/thesis/synced_file.h"
#include "approaches/sync_strategy.h"
#include "lib/transport/stream.h"

namespace memsync::mmap_push::thesis {

// One receiver over one stream, which is past whatever greeting a hub wants.
// Threads: one caller.
class ThesisSource {
 public:
  // Throws std::invalid_argument when `settings` are not sound.
  ThesisSource(std::unique_ptr<Stream> stream, SyncedFile file, const Settings& settings);

  // On return the receiver has, by its own hashes, each block as it was at some moment of this call
  // or, where its hash was the same before, an equal one. (Of a file that shrank during each of
  // several answers, it has zeros where the last of them met the end.) Counts all answers.
  //
  // Throws std::system_error. When the file can't be had (ENOENT: removed; EFBIG, EINVAL) nothing
  // of the answer was sent: the receiver keeps its bytes, and round() may be called again. After
  // any other failure (EPROTO: the peer sent something else; ETIMEDOUT; ECONNRESET ...) the
  // connection is ended, and a new one converges.
  SyncReport round(Deadline deadline);

 private:
  using Hashes = std::vector<BlockHash>;

  Hashes receive_hashes(Deadline deadline);
  struct Answer {
    Hashes sent;           // of each block, as the receiver has it afterwards
    bool is_whole = true;  // false: the file shrank meanwhile, and zeros stand for what was gone
  };
  // Sends what a receiver with `theirs` lacks.
  Answer answer(const Hashes& theirs, SyncReport& report, Deadline deadline);
  // Puts the hashes of what went out into `answer`.
  void send_blocks(const FileDescriptor& file, uint64_t size_bytes,
                   std::span<const uint64_t> blocks, Answer& answer, Deadline deadline);

  std::unique_ptr<Stream> stream_;
  const SyncedFile file_;
  const Settings settings_;
  std::optional<Hashes> waiting_;  // the receiver's list, not answered yet
};

}  // namespace memsync::mmap_push::thesis
