// The honest rival: the whole region over one stream, by the plainest fast socket code.
//
//   source                                  destination
//   ── "MSYNCOPY" size:u64be ── bytes ──▶   straight into the store's memory
//   ◀─────────── size:u64be ───────────     all of it is there
//
// Once at the opening, and again at each sync(); to several destinations at once, a stream each.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "approaches/sync_strategy.h"
#include "lib/os/mutex.h"

namespace memsync::tcp_copy {

// Sends the store to the destinations, when all of them have connected. Threads: as Side.
class SourceSide : public Side {
 public:
  explicit SourceSide(SideSetup setup);
  ~SourceSide() override;
  RegionView region() override;
  std::optional<SyncReport> sync(Deadline deadline) override;
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  void greet();  // takes the connections and sends the first copies
  void send_copies(const std::vector<Stream*>& streams);  // all at once
  void send_copy(Stream& stream);
  std::vector<Stream*> streams() const;
  void wait_for_destinations(Deadline deadline);

  const SideSetup setup_;
  const std::unique_ptr<Listener> listener_;
  mutable Mutex mutex_;
  Condition changed_;
  std::vector<std::unique_ptr<Stream>> streams_ GUARDED_BY(mutex_);
  bool is_ending_ GUARDED_BY(mutex_) = false;
  bool first_copy_done_ GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  std::atomic<uint64_t> sent_{0};
  std::jthread greeter_;
};

// Where the bytes of the first copy land: in the region's memory at once, or in one buffer that
// stays warm, from which UFFDIO_COPY places them.
struct Landing {
  uint64_t staging_bytes = 0;  // whole pages; 0: at once
};

// Has every byte when it has been constructed; later copies come in the background.
class DestinationSide : public Side {
 public:
  explicit DestinationSide(SideSetup setup, Landing landing = {});
  ~DestinationSide() override;
  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  void receive_copies();
  void receive_copy(std::span<const std::byte> header);
  void receive_pieces(std::span<std::byte> memory, bool is_first);
  void receive_placed(std::span<std::byte> memory);

  const SideSetup setup_;
  const Landing landing_;
  const std::unique_ptr<Stream> stream_;
  std::atomic<uint64_t> received_{0};
  mutable Mutex mutex_;
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  std::jthread receiver_;
};

}  // namespace memsync::tcp_copy
