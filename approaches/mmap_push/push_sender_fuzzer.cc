// Whatever a receiver answers: an error at the source, or a push that is acknowledged.
#include "approaches/mmap_push/recorded_push.h"

namespace memsync::mmap_push {
namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void try_receiver(std::span<const std::byte> input) {
  static const Conversation kReal = record_conversation();
  auto [ours, theirs] = stream_pair();
  theirs->write_all(input.size() > 1 && input[0] == std::byte{255}
                        ? Bytes(input.begin() + 1, input.end())
                        : changed_by(kReal.receiver, input),
                    after(PushPair::kPatience));
  ::shutdown(theirs->descriptor(), SHUT_WR);
  TestSource source(conversation_bytes(), true);
  const Ending ending = ending_of([&, &stream = *ours] {
    Sender sender(stream, {.compression = Compression::zstd}, after(PushPair::kPatience));
    sender.offer("data", source, after(PushPair::kPatience));
    sender.sync({}, after(PushPair::kPatience));
    source.bytes.resize(3 * 4096);
    sender.is_asked_to_hand_over(after(PushPair::kPatience));
    sender.hand_over({}, after(PushPair::kPatience));
  });
  require(ending.code != of_errno(ETIMEDOUT));  // the peer had ended the stream
  require(!ending.code || !ending.text.empty());
}

}  // namespace
}  // namespace memsync::mmap_push

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  memsync::mmap_push::try_receiver({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
