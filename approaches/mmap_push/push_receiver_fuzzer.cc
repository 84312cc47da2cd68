// Whatever a source says: an error, and what the receiver believes that it holds is what it holds.
#include "approaches/mmap_push/recorded_push.h"

namespace memsync::mmap_push {
namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void require_truth(ReceivedFile& received) {
  const Geometry& geometry = received.table.geometry();
  require(received.file.size_bytes() == geometry.size_bytes);
  Bytes bytes(geometry.chunk_bytes);
  for (uint64_t block = 0; block < received.table.count(); ++block) {
    if (received.table.at(block) == BlockTable::kUnknown) continue;
    const auto here = std::span(bytes).first(geometry.chunk_length(block));
    received.file.read(here, geometry.chunk_start(block));
    require(digest_of(here) == received.table.at(block));
  }
}

void try_source(std::span<const std::byte> input, Publish publish) {
  static const Conversation kReal = record_conversation();
  RawReceiving receiving(publish, {.file_bytes = 1 << 20, .blocks = 512});
  const Bytes before = seeded(3 * 4096, 1);
  put_file(receiving.path("data"), before);
  const Ending ending =
      receiving.hear(input.size() > 1 && input[0] == std::byte{255}
                         ? Bytes(input.begin() + 1, input.end())  // anything at all
                         : changed_by(kReal.source, input));
  require(!ending.code || !ending.text.empty());
  if (std::filesystem::exists(receiving.path("data"))) {
    ReceivedFile& received = receiving.received->open("data", 4096);
    received.file.catch_up(VersionFile::Patience::none);
    require_truth(received);
  }
  const Bytes later = seeded(10'000, 2);
  receiving.bring("data", later);
  require(file_bytes(receiving.path("data")) == later);
}

}  // namespace
}  // namespace memsync::mmap_push

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace memsync::mmap_push;  // NOLINT(google-build-using-namespace)
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  try_source(input, Publish::versions);
  try_source(input, Publish::in_place);
  return 0;
}
