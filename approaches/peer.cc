#include "approaches/peer.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

#include "lib/os/mutex.h"

namespace memsync {

namespace {

constexpr uint64_t kPieceBytes = 1 << 20;
// A piece that takes longer than this has no reader any more.
constexpr Nanoseconds kStallLimit = std::chrono::seconds(30);

constexpr OptionSpec kOptions[] = {
    {"unit", "4KiB", "bytes", "what the program should move at a time, if it can be told"},
};

class PeerSource : public Side {
 public:
  explicit PeerSource(SideSetup setup)
      : setup_(std::move(setup)),
        listener_(setup_.network->listen(kPeerStream)),
        server_([this] { serve(); }) {}

  ~PeerSource() override {
    listener_->close();
    const MutexLock lock(mutex_);
    is_ending_ = true;
    if (stream_) stream_->shut_down();
  }

  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Statistics statistics() const override {
    Statistics result;
    result.payload_sent = sent_.load(std::memory_order_relaxed);
    return result;
  }
  void rethrow_failure() const override {}  // whoever reads notices, and says so

 private:
  void serve() {
    while (auto accepted = listener_->accept(Deadline::max())) {
      Stream& stream = *accepted;
      {
        const MutexLock lock(mutex_);
        if (is_ending_) return;
        stream_ = std::move(accepted);
      }
      try {
        send(stream);
      } catch (const std::system_error&) {
        // It may have read as much as it wanted.
      }
      const MutexLock lock(mutex_);
      stream_.reset();
    }
  }

  void send(Stream& stream) {
    std::vector<std::byte> piece(std::min(kPieceBytes, setup_.geometry.size_bytes));
    const auto memory = setup_.store->readable_memory();
    for (uint64_t done = 0; done < setup_.geometry.size_bytes; done += piece.size()) {
      const uint64_t length = std::min<uint64_t>(piece.size(), setup_.geometry.size_bytes - done);
      if (memory.empty()) setup_.store->read_at(std::span(piece).first(length), done);
      stream.write_all(memory.empty() ? std::span<const std::byte>(piece).first(length)
                                      : memory.subspan(done, length),
                       after(kStallLimit));
      sent_.fetch_add(length, std::memory_order_relaxed);
    }
  }

  const SideSetup setup_;
  const std::unique_ptr<Listener> listener_;
  std::atomic<uint64_t> sent_{0};
  Mutex mutex_;
  std::unique_ptr<Stream> stream_ GUARDED_BY(mutex_);
  bool is_ending_ GUARDED_BY(mutex_) = false;
  std::jthread server_;  // last: ends before what it uses
};

class PeerStrategy : public SyncStrategy {
 public:
  const StrategyInfo& info() const noexcept override {
    static const StrategyInfo kInfo{
        .name = "peer",
        .summary = "a program that the command line names: --peer NAME=EXECUTABLE",
        .reference = "somebody else's work, measured beside ours",
        .can = {.source_before = Access::read,
                .destination_before = Access::read,
                .readable_before_complete = true},
        .options = kOptions,
        .attachment = "peer",
        .transport = "peer"};
    return kInfo;
  }
  std::vector<std::string> unmet_requirements(const Options& options) const override {
    if (options.duration(kPlantedDelay) > Nanoseconds::zero())
      throw std::invalid_argument(
          "option 'planted_delay': a peer measures itself, so nothing can be planted into it");
    return {};
  }
  std::unique_ptr<Side> open_source(SideSetup setup) const override {
    return std::make_unique<PeerSource>(std::move(setup));
  }
  std::unique_ptr<Side> open_destination(SideSetup) const override {
    throw std::logic_error("a peer's destination is a program of its own");
  }
};

}  // namespace

const SyncStrategy& peer_strategy() noexcept {
  static const PeerStrategy kStrategy;
  return kStrategy;
}

}  // namespace memsync
