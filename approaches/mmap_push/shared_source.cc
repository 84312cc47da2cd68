#include "approaches/mmap_push/shared_source.h"

namespace memsync::mmap_push {

class SharedSource::View : public Source {
 public:
  View(SharedSource& shared, size_t receiver) : shared_(shared), receiver_(receiver) {}
  std::optional<uint64_t> refresh() override { return shared_.region_.refresh(); }
  std::vector<ChunkIndex> changed() override { return shared_.changed(receiver_); }
  // Reads only, so all receivers may at once.
  bool copy(std::span<std::byte> into, uint64_t offset) override {
    return shared_.region_.copy(into, offset);
  }
  void note_held(ChunkIndex block, std::span<const std::byte> bytes) override {
    shared_.note_held(receiver_, block, bytes);
  }
  // What the detector keeps is another receiver's business a moment later.
  std::span<const std::byte> held(ChunkIndex) const override { return {}; }

 private:
  SharedSource& shared_;
  const size_t receiver_;
};

SharedSource::SharedSource(Source& region, const Geometry& blocks, size_t receivers)
    : region_(region),
      receivers_(receivers, Receiver{.lacks = std::vector<Look>(blocks.chunk_count(), 0)}),
      noted_(blocks.chunk_count()) {
  for (size_t i = 0; i < receivers; ++i) views_.push_back(std::make_unique<View>(*this, i));
}

SharedSource::~SharedSource() = default;

Source& SharedSource::of(size_t receiver) {
  return *views_.at(receiver);
}

void SharedSource::begin_round() {
  const MutexLock lock(mutex_);
  for (Receiver& receiver : receivers_) receiver.seen = looks_;
}

// Held meanwhile: whoever else asks wants the same answer.
void SharedSource::look() {
  ++looks_;
  for (const ChunkIndex block : region_.changed())
    for (Receiver& receiver : receivers_) receiver.lacks[block] = looks_;
}

std::vector<ChunkIndex> SharedSource::changed(size_t receiver) {
  const MutexLock lock(mutex_);
  Receiver& mine = receivers_[receiver];
  if (mine.seen == looks_) look();
  mine.seen = looks_;
  std::vector<ChunkIndex> blocks;
  for (ChunkIndex block = 0; block < mine.lacks.size(); ++block) {
    if (mine.lacks[block] == 0) continue;
    blocks.push_back(block);
    mine.lacks[block] = 0;
  }
  return blocks;
}

void SharedSource::note_held(size_t receiver, ChunkIndex block, std::span<const std::byte> bytes) {
  const Digest digest = digest_of(bytes);
  const MutexLock lock(mutex_);
  region_.note_held(block, bytes);
  Receiver& mine = receivers_[receiver];
  // Of a later look than these bytes: it is named again.
  if (mine.lacks[block] <= mine.seen) mine.lacks[block] = 0;
  if (digest == noted_[block]) return;
  noted_[block] = digest;
  for (Receiver& other : receivers_)
    if (&other != &mine) other.lacks[block] = looks_;
}

}  // namespace memsync::mmap_push
