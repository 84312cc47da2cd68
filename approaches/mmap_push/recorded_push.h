// What both ends said in a real conversation: where fuzzers begin. For tests.
#pragma once

#include <utility>

#include "approaches/mmap_push/passing_stream.h"
#include "approaches/mmap_push/raw_peer.h"

namespace memsync::mmap_push {

// Passes everything on and keeps what is read.
class RecordingStream : public PassingStream {
 public:
  using PassingStream::PassingStream;
  std::optional<size_t> read_some(std::span<const iovec> into) override {
    const auto got = PassingStream::read_some(into);
    size_t left = got.value_or(0);
    for (const iovec& part : into) {
      const auto* bytes = static_cast<const std::byte*>(part.iov_base);
      const size_t count = std::min(left, part.iov_len);
      heard.insert(heard.end(), bytes, bytes + count);
      left -= count;
    }
    return got;
  }

  Bytes heard;
};

struct Conversation {
  Bytes source, receiver;  // what each of them said
};

inline Bytes conversation_bytes() {
  return seeded(5 * 4096 + 100, 1);
}

// Three rounds of one file: blocks, packed blocks, zeros, patches, another length.
inline Conversation record_conversation() {
  const TemporaryFolder place = TemporaryFolder::make(kMemoryFolder);
  ReceivedFolder folder(place.path(), Publish::versions, Durable::off, {}, uint64_t{0});
  put_file(place.path() + "/data", seeded(3 * 4096, 1));
  auto [ours, theirs] = stream_pair();
  RecordingStream at_source(*ours), at_receiver(*theirs);
  auto serving = std::async(std::launch::async, [&] {
    Receiver(at_receiver, folder, {}, after(PushPair::kPatience)).serve();
  });
  TestSource source(conversation_bytes(), true);
  {
    Sender sender(at_source, {.compression = Compression::zstd}, after(PushPair::kPatience));
    sender.offer("data", source, after(PushPair::kPatience));
    sender.sync({}, after(PushPair::kPatience));
    source.write(100, Bytes(20, std::byte{3}));
    source.write(4096, Bytes(8192));
    source.write(3 * 4096, Bytes(4096, std::byte{4}));
    sender.sync({}, after(PushPair::kPatience));
    source.bytes.resize(2 * 4096 + 5);
    sender.sync({}, after(PushPair::kPatience));
  }
  at_source.shut_down();
  serving.get();
  return {at_receiver.heard, at_source.heard};
}

// A conversation as the input has changed it: (where, what) of three bytes each, up to its end, or
// what comes instead of the rest: the first byte says which.
inline Bytes changed_by(const Bytes& said, std::span<const std::byte> input) {
  const auto number = [&](size_t at) {
    return at < input.size() ? std::to_integer<size_t>(input[at]) : size_t{0};
  };
  Bytes bytes = said;
  if (number(0) % 2 == 0) {
    for (size_t at = 1; at + 3 <= input.size(); at += 3)
      bytes[(number(at) << 8 | number(at + 1)) % bytes.size()] = input[at + 2];
    return bytes;
  }
  const size_t kept = (number(1) << 8 | number(2)) % (bytes.size() + 1);
  bytes.resize(kept);
  if (input.size() > 3) bytes.insert(bytes.end(), input.begin() + 3, input.end());
  return bytes;
}

}  // namespace memsync::mmap_push
