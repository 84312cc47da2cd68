// A peer that says what a test wants: prepared bytes into one end of a socket pair. For tests.
#pragma once

#include <memory>
#include <string>
#include <sys/socket.h>
#include <utility>

#include "approaches/mmap_push/block_table.h"
#include "approaches/mmap_push/push_pair.h"
#include "lib/os/temporary_folder.h"
#include "lib/transport/region_service.h"
#include "lib/transport/socket_stream.h"

namespace memsync::mmap_push {

inline std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> stream_pair() {
  auto [one, other] = FileDescriptor::socket_pair();
  const auto counters = std::make_shared<ByteCounters>();
  for (const FileDescriptor* end : {&one, &other})
    ::fcntl(end->get(), F_SETFL, ::fcntl(end->get(), F_GETFL) | O_NONBLOCK);
  return {std::make_unique<SocketStream>(std::move(one), counters),
          std::make_unique<SocketStream>(std::move(other), counters)};
}

// What a peer says, message after message.
class Script {
 public:
  explicit Script(Hello hello) { put(hello); }
  static Script of(Role role) { return Script(Hello{.role = role}); }
  static Script garbage(Bytes bytes) {
    Script script;
    script.bytes_ = std::move(bytes);
    return script;
  }

  Script& header(Kind kind, uint32_t payload_bytes, uint32_t file = 0, uint8_t flags = 0,
                 uint16_t reserved = 0) {
    starts_.push_back(bytes_.size());
    put(FrameHeader{kind, flags, reserved, payload_bytes, file});
    return *this;
  }
  Script& say(Kind kind, const Bytes& payload, uint32_t file = 0, uint8_t flags = 0) {
    header(kind, static_cast<uint32_t>(payload.size()), file, flags);
    return append(payload);
  }
  template <typename Message>
  Script& say(Kind kind, const Message& message, uint32_t file = 0, uint8_t flags = 0) {
    return say(kind, encode(message), file, flags);
  }
  // blocks, packed and patch: a number, then bytes.
  Script& place(Kind kind, uint64_t block, const Bytes& bytes) {
    header(kind, static_cast<uint32_t>(sizeof block + bytes.size()));
    put(block);
    return append(bytes);
  }
  // Not inlined: g++ 12 sees overflows in a vector that grows by a constant (GCC bug 105762).
  [[gnu::noinline]] Script& append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  template <typename Value>
  Script& put(const Value& value) {
    return append(std::as_bytes(std::span(&value, 1)));
  }

  const Bytes& bytes() const { return bytes_; }
  // Where messages begin.
  const std::vector<size_t>& starts() const { return starts_; }

 private:
  Script() = default;
  Bytes bytes_;
  std::vector<size_t> starts_;
};

[[gnu::noinline]] inline Bytes operator+(Bytes one, const Bytes& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}
template <typename Value>
Bytes bytes_of(const Value& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

inline Digest table_digest(const Bytes& bytes, uint64_t block_bytes = 4096) {
  BlockTable table(block_bytes);
  table.resize(bytes.size());
  for (uint64_t block = 0; block < table.count(); ++block)
    table.set(block, digest_of(std::span(bytes).subspan(table.geometry().chunk_start(block),
                                                        table.geometry().chunk_length(block))));
  return table.digest();
}

// How a call ended: nothing, or the error's code and words.
struct Ending {
  std::error_code code;
  std::string text;
};
template <typename Call>
Ending ending_of(Call&& call) {
  try {
    call();
  } catch (const std::system_error& problem) {
    return {problem.code(), problem.what()};
  } catch (const std::exception& problem) {
    return {make_error_code(std::errc::not_supported), problem.what()};
  }
  return {};
}
inline std::error_code of_errno(int error) {
  return {error, std::generic_category()};
}

inline void put_file(const std::string& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}
inline Bytes file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// A receiver's folder in memory, and what comes to it: prepared bytes or an honest sender.
class RawReceiving {
 public:
  explicit RawReceiving(Publish publish = Publish::versions, ReceivedLimits limits = {},
                        const std::string& place = kMemoryFolder)
      : folder(TemporaryFolder::make(place)),
        received(std::make_unique<ReceivedFolder>(folder.path(), publish, Durable::off, limits,
                                                  uint64_t{0})) {}

  // The source says all of the bytes and then ends the stream, or stalls. `heard`: what the
  // receiver said up to the end of the stream.
  enum class Then : uint8_t { ends, stalls };
  Ending hear(const Bytes& bytes, Then then = Then::ends,
              Nanoseconds stall_limit = PushPair::kPatience) {
    auto [ours, theirs] = stream_pair();
    const int big = 8 << 20;
    ::setsockopt(ours->descriptor(), SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big);
    ours->write_all(bytes, after(PushPair::kPatience));
    if (then == Then::ends) ::shutdown(ours->descriptor(), SHUT_WR);
    bool greeted = false;
    const Ending ending = ending_of([&, &stream = *theirs] {
      Receiver receiver(stream, *received, {}, after(stall_limit), stall_limit);
      greeted = true;
      receiver.serve();
    });
    // Otherwise the receiver has ended the connection, and the loop below finds its end.
    if (!greeted || !ending.code) theirs->shut_down();
    heard.clear();
    Bytes piece(1 << 16);
    while (const size_t got = ours->read_part(piece, after(PushPair::kPatience)))
      heard.insert(heard.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
    return ending;
  }
  // An honest sender brings `bytes`.
  void bring(const std::string& name, const Bytes& bytes, SenderSettings settings = {}) {
    auto [ours, theirs] = stream_pair();
    auto serving = std::async(std::launch::async, [&, &stream = *theirs] {
      Receiver(stream, *received, {}, after(PushPair::kPatience)).serve();
    });
    TestSource source(bytes);
    try {
      Sender sender(*ours, settings, after(PushPair::kPatience));
      sender.offer(name, source, after(PushPair::kPatience));
      sender.sync({}, after(PushPair::kPatience));
    } catch (...) {
      ours->shut_down();
      serving.wait();
      throw;
    }
    ours->shut_down();
    serving.get();
  }
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }

  const TemporaryFolder folder;
  std::unique_ptr<ReceivedFolder> received;
  Bytes heard;
};

}  // namespace memsync::mmap_push
