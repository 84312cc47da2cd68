// The thesis's protocol at the receiver: tells what its file is, and takes the blocks that differ.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "approaches/mmap_push/thesis/frames.h"
#include "approaches/mmap_push/thesis/settings.h"
#include "approaches/mmap_push/thesis/synced_file.h"
#include "lib/transport/stream.h"

namespace memsync::mmap_push::thesis {

// One source over one stream, which is past whatever greeting a hub wants. Writes in place: whoever
// reads the file meanwhile may see a round half written.
// Threads: one caller; what ends serve() is its stop token.
class ThesisReceiver {
 public:
  // Throws std::invalid_argument when `settings` are not sound.
  ThesisReceiver(std::unique_ptr<Stream> stream, SyncedFile file, const Settings& settings);

  // Rounds until the source ends the stream between two of them or `stop` is requested; then it
  // returns. Each round that has been written is told to `written`, with the bytes of its blocks.
  // Waits for the source's next answer as long as the stream lasts. Ends the stream however it
  // leaves.
  //
  // Throws std::system_error: EPROTO when the peer sends something else, ECONNRESET when it ends in
  // the middle of an answer, ETIMEDOUT when an answer pauses longer than settings.patience, what
  // the file system says (ENOSPC ...). The file then has some blocks old and some new; a new
  // connection converges.
  void serve(std::stop_token stop, const std::function<void(uint64_t payload_bytes)>& written = {});

 private:
  // The bytes of the blocks that came; nullopt when the source ended the stream before an answer.
  std::optional<uint64_t> round();
  // Sends the hashes and waits for the answer's first frame; nullopt as above.
  std::optional<std::vector<std::byte>> exchange(const FileDescriptor& file);
  uint64_t take_blocks(const FileDescriptor& file, std::span<const uint64_t> blocks, uint64_t end);
  Deadline soon() const { return after(settings_.patience); }

  std::unique_ptr<Stream> stream_;
  const SyncedFile file_;
  const Settings settings_;
};

}  // namespace memsync::mmap_push::thesis
