// The two sides of a session of the approach mmap_push.
//
//   source                                            destination
//   application stores into a mapped file             connects; serve() in a thread of its own
//   sync(): changes ─▶ Sender ──────────────────────▶ Receiver writes the spare version
//        ◀─────────────────────────── done ─────────  exchanged; the window shows it
//   watch(): ◀────────────────── take_over ─────────  finalize()
//   application stopped; the last round ────────────▶ shown writable; application goes on
#pragma once

#include <atomic>
#include <exception>
#include <optional>
#include <thread>

#include "approaches/mmap_push/receiver.h"
#include "approaches/mmap_push/region_source.h"
#include "approaches/mmap_push/sender.h"
#include "approaches/mmap_push/settings.h"
#include "lib/os/mapping.h"
#include "lib/os/mutex.h"
#include "lib/os/temporary_folder.h"

namespace memsync::mmap_push {

inline constexpr std::string_view kServiceName = "mmap_push";
inline constexpr const char* kRegionName = "region";
// A round that takes longer than this has no peer any more.
inline constexpr Nanoseconds kRoundLimit = std::chrono::seconds(60);

// A source's setup as it has to be; throws std::invalid_argument for what is missing.
SideSetup checked_source(SideSetup setup);

// Threads: as Side.
class SourceSide : public Side {
 public:
  SourceSide(SideSetup setup, const Settings& settings);
  ~SourceSide() override;

  RegionView region() override { return {.memory = source_.memory(), .path = source_.path()}; }
  std::optional<SyncReport> sync(Deadline deadline) override;
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  void serve();                // the destination: its first copy, then what it asks for
  void watch(Stream& stream);  // for the request to hand over, and for the end
  void sync_by_interval(const std::stop_token& stop);
  WriterControl control() const;
  // By whoever has the connection.
  SyncReport run_round(Sender& sender, Deadline deadline);
  void park(std::exception_ptr failure) REQUIRES(mutex_);
  void cut();  // whoever waits for the destination goes on

  const SideSetup setup_;
  const Settings settings_;
  const TemporaryFolder folder_;
  RegionSource source_;
  const std::unique_ptr<Listener> listener_;
  const FileDescriptor wake_ = FileDescriptor::event();  // of watch()
  std::atomic<uint64_t> sent_{0}, rounds_{0};
  mutable Mutex state_;  // a leaf: held for a moment, also while a round takes long
  std::unique_ptr<Stream> stream_ GUARDED_BY(state_);
  std::exception_ptr failure_ GUARDED_BY(state_);
  bool is_ending_ GUARDED_BY(state_) = false;
  Mutex mutex_;  // the connection, and with it who may look for changes; before state_
  Condition changed_;
  std::unique_ptr<Sender> sender_ GUARDED_BY(mutex_);  // set once its first copy is there
  std::jthread server_;                                // last two: what they use outlives them
  std::jthread interval_;
};

// Address space that shows one file and later another, at the same place. Threads: show() and
// drop_last() from one; whoever reads the bytes from any.
class Window {
 public:
  explicit Window(uint64_t size_bytes);
  // Whoever reads meanwhile reads the old file or the new one. Takes a fraction of a millisecond
  // however much was read of the old one, for what was mapped of it is moved aside, not unmapped
  // (mremap(2), MREMAP_DONTUNMAP; unmapping takes 25 ms per GiB). Throws std::system_error.
  void show(const FileDescriptor& file, int protection);
  // Unmaps what was moved aside: when there is time.
  void drop_last() noexcept { last_ = Mapping{}; }
  std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  const Mapping reserved_;
  const std::span<std::byte> bytes_;
  Mapping last_;
};

// Has the first copy when it has been constructed. Threads: as Side.
class DestinationSide : public Side, private Handover {
 public:
  DestinationSide(SideSetup setup, const Settings& settings);
  ~DestinationSide() override;

  RegionView region() override { return {.memory = window_.bytes(), .path = path_}; }
  std::optional<SyncReport> sync(Deadline) override { return std::nullopt; }
  Handover* handover() noexcept override { return this; }
  Statistics statistics() const override;
  void rethrow_failure() const override;

 private:
  HandoverReport finalize(Deadline deadline) override;
  Nanoseconds settle(Deadline deadline) override;
  void serve();
  void show_round(ReceivedFile& received, const End& end, bool is_final);
  void wait_for_first_copy();
  ReceiverEvents events();

  // How far a hand-over has come. given_up: finalize() has thrown, so the application must not run;
  // taking: it is about to, and finalize() waits for it.
  enum class Moving : uint8_t { no, asked, given_up, taking, moved };

  const SideSetup setup_;
  const Settings settings_;
  const TemporaryFolder folder_;
  const std::string path_;
  Window window_;
  ReceivedFolder received_;
  const std::unique_ptr<Stream> stream_;
  mutable Mutex mutex_;
  Condition changed_;
  bool is_ready_ GUARDED_BY(mutex_) = false;  // the first copy, and the spare of the next round
  Moving moving_ GUARDED_BY(mutex_) = Moving::no;
  std::optional<Deadline> stopping_ GUARDED_BY(mutex_);  // when the source said that it does
  uint64_t payload_before_ GUARDED_BY(mutex_) = 0;       // until then
  HandoverReport report_ GUARDED_BY(mutex_);
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  bool has_ended_ GUARDED_BY(mutex_) = false;
  std::unique_ptr<Receiver> receiver_;
  std::jthread server_;  // last: what it uses outlives it
};

}  // namespace memsync::mmap_push
