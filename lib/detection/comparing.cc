#include "lib/detection/comparing.h"

#include <algorithm>
#include <cstring>

#include "lib/os/access_faults.h"
#include "lib/region/parallel_chunks.h"

namespace memsync {

namespace {

std::span<std::byte> chunk_bytes(const Watched& watched, ChunkIndex chunk) {
  return watched.memory.subspan(watched.geometry.chunk_start(chunk),
                                watched.geometry.chunk_length(chunk));
}

// What a thread takes at a time: enough that taking it costs nothing, and a fair share at the end.
constexpr uint64_t kBatchBytes = 1 << 20;

}  // namespace

void copy_chunk(const Watched& watched, ChunkIndex chunk, std::span<std::byte> into) {
  install_fault_guard();
  const auto from = chunk_bytes(watched, chunk);
  for (size_t done = 0; done < into.size(); done += page_bytes()) {
    const size_t size = std::min<size_t>(page_bytes(), into.size() - done);
    auto copy = [&] { std::memcpy(into.data() + done, from.data() + done, size); };
    if (guarded(copy)) std::memset(into.data() + done, 0, size);
  }
}

ComparingDetector::ComparingDetector(const Watched& watched)
    : watched_(watched), noted_(watched.geometry.chunk_count()) {
  install_fault_guard();
}

std::vector<ChunkIndex> ComparingDetector::take() {
  const Geometry& geometry = watched_.geometry;
  ChunkBitmap different(geometry.chunk_count());
  parallel_chunks(geometry.chunk_count(), watched_.workers,
                  std::max<ChunkIndex>(1, kBatchBytes / geometry.chunk_bytes),
                  [&](ChunkIndex first, ChunkIndex end) { compare(first, end, different); });
  return different.all_set();
}

void ComparingDetector::note_held(ChunkIndex chunk, std::span<const std::byte> bytes) {
  keep(chunk, bytes);
  noted_.set(chunk);
}

void ComparingDetector::compare(ChunkIndex first, ChunkIndex end, ChunkBitmap& different) const {
  volatile ChunkIndex next = first;  // survives the jump out of a fault
  auto compare_rest = [&] {
    for (ChunkIndex chunk = next; chunk < end; ++chunk) {
      next = chunk;
      if (!noted_.test(chunk) || differs(chunk, chunk_bytes(watched_, chunk))) different.set(chunk);
    }
    next = end;
  };
  while (next < end) {
    if (!guarded(compare_rest)) continue;
    compare_copy(next, different);  // the file ends before this chunk does
    next = next + 1;
  }
}

void ComparingDetector::compare_copy(ChunkIndex chunk, ChunkBitmap& different) const {
  std::vector<std::byte> copy(watched_.geometry.chunk_length(chunk));
  copy_chunk(watched_, chunk, copy);
  if (differs(chunk, copy)) different.set(chunk);
}

HashDetector::HashDetector(const Watched& watched)
    : ComparingDetector(watched),
      length_(hash_length(watched.hash)),
      table_(watched.geometry.chunk_count() * length_) {
  hash_chunk(watched.hash, {});  // throws here or never: differs() may not
}

bool HashDetector::differs(ChunkIndex chunk, std::span<const std::byte> bytes) const {
  const ChunkHash hash = hash_chunk(watched().hash, bytes);
  return std::memcmp(&table_[chunk * length_], hash.bytes.data(), length_) != 0;
}

void HashDetector::keep(ChunkIndex chunk, std::span<const std::byte> bytes) {
  const ChunkHash hash = hash_chunk(watched().hash, bytes);
  std::memcpy(&table_[chunk * length_], hash.bytes.data(), length_);
}

ShadowDetector::ShadowDetector(const Watched& watched)
    : ComparingDetector(watched), shadow_(Mapping::anonymous(watched.geometry.size_bytes)) {}

std::span<const std::byte> ShadowDetector::held(ChunkIndex chunk) const {
  if (!is_noted(chunk)) return {};
  const Geometry& geometry = watched().geometry;
  return shadow_.bytes().subspan(geometry.chunk_start(chunk), geometry.chunk_length(chunk));
}

bool ShadowDetector::differs(ChunkIndex chunk, std::span<const std::byte> bytes) const {
  const std::byte* kept = shadow_.bytes().data() + watched().geometry.chunk_start(chunk);
  return std::memcmp(kept, bytes.data(), bytes.size()) != 0;
}

void ShadowDetector::keep(ChunkIndex chunk, std::span<const std::byte> bytes) {
  std::memcpy(shadow_.bytes().data() + watched().geometry.chunk_start(chunk), bytes.data(),
              bytes.size());
}

}  // namespace memsync
