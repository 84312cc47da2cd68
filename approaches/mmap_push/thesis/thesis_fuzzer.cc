// Whatever a peer sends: decoders keep their promises, and both ends get away with their files in
// order.
#include <sys/socket.h>
#include <sys/stat.h>

#include "approaches/mmap_push/thesis/frames.h"
#include "approaches/mmap_push/thesis/receiver.h"
#include "approaches/mmap_push/thesis/source.h"
#include "lib/transport/socket_stream.h"

namespace memsync::mmap_push::thesis {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint64_t kBlocks = 40;
const Settings kSettings{.block_bytes = 16,
                         .size_limit_bytes = kBlocks * 16 - 3,
                         .workers = 1,
                         .patience = std::chrono::seconds(5)};

void require(bool holds) {
  if (!holds) __builtin_trap();
}

// Only a refusal may come out of `decode`.
template <typename Decode>
void refused_or(Decode decode) {
  try {
    decode();
  } catch (const std::system_error& error) {
    require(error.code().value() == EPROTO);
  }
}

void try_decoders(Bytes json) {
  refused_or([&] {
    const auto hashes = decode_hashes(json, kBlocks);
    require(hashes.size() <= kBlocks);
    require(decode_hashes(Bytes(encode_hashes(hashes)).subspan(4), kBlocks) == hashes);
  });
  refused_or([&] {
    const auto indexes = decode_indexes(json, kBlocks);
    for (size_t i = 0; i < indexes.size(); ++i)
      require(indexes[i] < kBlocks && (i == 0 || indexes[i - 1] < indexes[i]));
  });
  refused_or([&] {
    const Cutoff cutoff = decode_cutoff(json, 16);
    require(!cutoff || *cutoff < 16);
  });
  refused_or([&] {
    const std::string text = decode_text(json);
    require(decode_text(Bytes(encode_text(text)).subspan(4)) == text);
  });
}

// Swallows what is written, which nobody reads.
class InputStream : public SocketStream {
 public:
  using SocketStream::SocketStream;
  std::optional<size_t> write_some(std::span<const iovec> from) override { return from[0].iov_len; }
};

// One end of a connection on which `input` comes and then the stream ends.
std::pair<std::unique_ptr<Stream>, FileDescriptor> stream_of(Bytes input) {
  auto [ours, theirs] = FileDescriptor::socket_pair();
  write_all(theirs.get(), input.data(), input.size(), "the fuzzer's bytes");
  ::shutdown(theirs.get(), SHUT_WR);
  return {std::make_unique<InputStream>(std::move(ours), std::make_shared<ByteCounters>()),
          std::move(theirs)};
}

void try_receiver(Bytes input) {
  const auto file = FileDescriptor::memory_file("received", 100);
  auto [stream, peer] = stream_of(input);
  try {
    ThesisReceiver(std::move(stream), SyncedFile::of(file.duplicate()), kSettings).serve({});
  } catch (const std::system_error& error) {
    require(error.code().value() == EPROTO || error.code().value() == ECONNRESET);
  }
  struct stat status{};
  require(::fstat(file.get(), &status) == 0);
  require(static_cast<uint64_t>(status.st_size) <= kSettings.size_limit_bytes);
}

void try_source(Bytes input) {
  auto [stream, peer] = stream_of(input);
  ThesisSource source(std::move(stream), SyncedFile::of(FileDescriptor::memory_file("source", 100)),
                      kSettings);
  try {
    while (true) source.round(after(std::chrono::seconds(5)));
  } catch (const std::system_error& error) {
    require(error.code().value() == EPROTO || error.code().value() == ECONNRESET);
  }
}

}  // namespace
}  // namespace memsync::mmap_push::thesis

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace memsync::mmap_push::thesis;  // NOLINT(google-build-using-namespace)
  // Small enough for the sockets' buffers, so that one thread can be both ends.
  if (size > 4096) return 0;
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  try_decoders(input);
  try_receiver(input);
  try_source(input);
  return 0;
}
