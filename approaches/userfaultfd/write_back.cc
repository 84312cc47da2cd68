#include "approaches/userfaultfd/write_back.h"

#include <algorithm>
#include <array>
#include <vector>

#include "lib/os/mapping.h"
#include "lib/os/mutex.h"

namespace memsync::userfaultfd {

namespace {

// One answer on the wire should not keep a demand waiting for long.
constexpr uint64_t kPieceBytes = 64 << 10;
// Single pages must fill the link as well as long runs do: 8 MiB are 2.6 Gbit/s at 25 ms.
constexpr size_t kPiecesInFlight = 2048;
constexpr uint64_t kBytesInFlight = 8 << 20;

class Writing : public CompletionSink {
 public:
  Writing(RegionService& peer, std::span<const std::byte> region, Deadline deadline)
      : peer_(peer),
        region_(region),
        deadline_(deadline),
        staging_(Mapping::anonymous(kPiecesInFlight * kPieceBytes)) {
    for (size_t i = kPiecesInFlight; i > 0; --i) free_.push_back(i - 1);
  }

  void write(ByteRange range) {
    for (uint64_t done = 0; done < range.length; done += kPieceBytes)
      start({range.offset + done, std::min(kPieceBytes, range.length - done)});
  }

  void wait() {
    MutexLock lock(mutex_);
    // Each completes at the deadline at the latest.
    while (free_.size() != kPiecesInFlight) changed_.wait(mutex_);
    if (error_)
      throw std::system_error(error_, "writing " + std::to_string(failed_.length) +
                                          " bytes at offset " + std::to_string(failed_.offset) +
                                          " back to the source");
  }

  void completed(std::span<Completion> done) noexcept override {
    MutexLock lock(mutex_);
    for (const Completion& completion : done) {
      free_.push_back(completion.tag);
      in_flight_ -= pieces_[completion.tag].length;
      if (!completion.error || error_) continue;
      error_ = completion.error;
      failed_ = pieces_[completion.tag];
    }
    changed_.notify_all();
  }

 private:
  // Copied first: a page that the application drops meanwhile comes from the peer again, which must
  // not happen while the transport, busy sending, holds a lock.
  void start(ByteRange piece) {
    size_t tag = 0;
    {
      MutexLock lock(mutex_);
      while (free_.empty() || in_flight_ + piece.length > kBytesInFlight) changed_.wait(mutex_);
      if (error_) return;
      in_flight_ += piece.length;
      tag = free_.back();
      free_.pop_back();
      pieces_[tag] = piece;
    }
    const auto copy = staging_.bytes().subspan(tag * kPieceBytes, piece.length);
    std::ranges::copy(region_.subspan(piece.offset, piece.length), copy.begin());
    const WriteRequest request{.offset = piece.offset, .from = copy, .tag = tag};
    peer_.start_writes({&request, 1}, Urgency::demand, deadline_, *this);
  }

  RegionService& peer_;
  const std::span<const std::byte> region_;
  const Deadline deadline_;
  const Mapping staging_;
  Mutex mutex_;
  Condition changed_;
  std::vector<size_t> free_ GUARDED_BY(mutex_);  // parts of the staging memory, by tag
  uint64_t in_flight_ GUARDED_BY(mutex_) = 0;    // bytes
  std::array<ByteRange, kPiecesInFlight> pieces_ GUARDED_BY(mutex_);
  std::error_code error_ GUARDED_BY(mutex_);
  ByteRange failed_ GUARDED_BY(mutex_);
};

}  // namespace

uint64_t write_back(RegionService& peer, std::span<const std::byte> region,
                    std::span<const ByteRange> ranges, Deadline deadline) {
  Writing writing(peer, region, deadline);
  uint64_t total = 0;
  for (const ByteRange& range : ranges) {
    writing.write(range);
    total += range.length;
  }
  writing.wait();
  return total;
}

}  // namespace memsync::userfaultfd
