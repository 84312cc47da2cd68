// Detectors that look at every byte: they see any writer, and name only what differs.
#pragma once

#include "lib/detection/change_detector.h"
#include "lib/os/mapping.h"
#include "lib/region/chunk_bitmap.h"

namespace memsync {

// Compares each chunk with what is kept of the bytes that the peer holds. Several threads read the
// memory while it may be written.
class ComparingDetector : public ChangeDetector {
 public:
  explicit ComparingDetector(const Watched& watched);
  std::vector<ChunkIndex> take() override;
  void note_held(ChunkIndex chunk, std::span<const std::byte> bytes) override;
  bool compares() const noexcept override { return true; }

 protected:
  // Of a chunk that was kept before. Called by several threads; throws nothing, and owns nothing
  // that a jump out of it, when the file was cut, would lose.
  virtual bool differs(ChunkIndex chunk, std::span<const std::byte> bytes) const = 0;
  virtual void keep(ChunkIndex chunk, std::span<const std::byte> bytes) = 0;
  const Watched& watched() const { return watched_; }
  bool is_noted(ChunkIndex chunk) const { return noted_.test(chunk); }

 private:
  void compare(ChunkIndex first, ChunkIndex end, ChunkBitmap& different) const;
  void compare_copy(ChunkIndex chunk, ChunkBitmap& different) const;
  const Watched watched_;
  ChunkBitmap noted_;
};

// Keeps hashes: 4 to 32 bytes per chunk.
class HashDetector final : public ComparingDetector {
 public:
  explicit HashDetector(const Watched& watched);

 private:
  bool differs(ChunkIndex chunk, std::span<const std::byte> bytes) const override;
  void keep(ChunkIndex chunk, std::span<const std::byte> bytes) override;
  const size_t length_;           // bytes of a hash
  std::vector<std::byte> table_;  // a hash per chunk, one after the other
};

// Keeps the bytes.
class ShadowDetector final : public ComparingDetector {
 public:
  explicit ShadowDetector(const Watched& watched);
  std::span<const std::byte> held(ChunkIndex chunk) const override;

 private:
  bool differs(ChunkIndex chunk, std::span<const std::byte> bytes) const override;
  void keep(ChunkIndex chunk, std::span<const std::byte> bytes) override;
  const Mapping shadow_;
};

}  // namespace memsync
