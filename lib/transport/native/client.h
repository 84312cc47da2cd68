// The asker's end of the native protocol.
//
//   caller's threads                        the client's own thread
//   start_*() ── open a request ──┐         readable: decode into the callers' buffers,
//                queue it         │                   end requests, deliver completions
//                send what goes ──┴─ mutex_ ─ writable: send what is queued
//                                           timers: deadlines, ping, the peer's death
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "lib/os/mutex.h"
#include "lib/transport/native/limits.h"
#include "lib/transport/native/native_transport.h"
#include "lib/transport/native/reply_receiver.h"
#include "lib/transport/native/send_batch.h"
#include "lib/transport/native/window_controller.h"

namespace memsync::native {

// Requests are ended by the own thread alone (and by the destructor after it), so a request that
// timed out cannot be written into any more. Control calls block: never from completed().
// Lock order: mutex_ is a leaf; no call leaves the class while it is held.
class Client final : public RegionService, private ReplyReceiver::Owner {
 public:
  // Takes a stream whose hello is done.
  Client(std::unique_ptr<Stream> stream, const Geometry& geometry, uint64_t epoch,
         const NativeOptions& options);
  ~Client() override;

  void start_reads(std::span<const ReadRequest> requests, Urgency urgency, Deadline deadline,
                   CompletionSink& sink) override;
  void start_writes(std::span<const WriteRequest> requests, Urgency urgency, Deadline deadline,
                    CompletionSink& sink) override;
  void start_exchange(std::string_view topic, std::span<const std::byte> request, uint64_t tag,
                      Urgency urgency, Deadline deadline, CompletionSink& sink) override;
  void start_tracking(uint64_t epoch, Deadline deadline) override;
  Suspension suspend_and_collect(uint64_t epoch, std::span<const ByteRange> wanted,
                                 Deadline deadline) override;
  void resume(uint64_t epoch, Deadline deadline) override;
  void release(uint64_t epoch, Deadline deadline) override;
  uint64_t epoch() const noexcept override { return epoch_; }

  // The background bytes that may be in flight now, and those that are.
  uint64_t window_bytes() const EXCLUDES(mutex_);
  uint64_t background_in_flight() const EXCLUDES(mutex_);

 private:
  struct Span;  // of a caller's request: where, how long, in which memory

  // Callers' side.
  void start_span(const Span& span, Kind kind, Urgency urgency, Deadline deadline,
                  CompletionSink& sink) REQUIRES(mutex_);
  void start_pieces(const Span& span, uint64_t piece, Kind kind, Urgency urgency, Deadline deadline,
                    CompletionSink& sink) REQUIRES(mutex_);
  void start_message(Kind kind, std::vector<std::byte> message, uint16_t topic_bytes,
                     uint64_t epoch, uint64_t tag, Urgency urgency, Deadline deadline,
                     CompletionSink& sink) EXCLUDES(mutex_);
  std::vector<std::byte> control(Kind kind, uint64_t epoch, std::vector<std::byte> message,
                                 Deadline deadline) EXCLUDES(mutex_);
  void publish(OpenRequest& request, Deadline deadline) REQUIRES(mutex_);
  void refuse(CompletionSink& sink, uint64_t tag, std::error_code error) REQUIRES(mutex_);

  // Sending, by whoever holds the lock.
  void flush() REQUIRES(mutex_);
  void fill_batch() REQUIRES(mutex_);
  bool add_to_batch(uint64_t id, Deadline now) REQUIRES(mutex_);

  // The own thread's side.
  bool fully_sent(OpenRequest& request) override;
  void answered(OpenRequest& request, std::error_code error, std::string_view text) override;
  void end(OpenRequest& request, std::error_code error, bool by_answer);
  void wait_readable();
  void on_readable();
  bool receive_once();
  void wait_writable();
  void arm_deadline();
  void expire();
  void keep_alive();
  void settle() REQUIRES(mutex_);
  void deliver();
  void fail(std::error_code error) EXCLUDES(mutex_);
  void end_all(std::error_code error) EXCLUDES(mutex_);

  const std::unique_ptr<Stream> stream_;
  const Geometry geometry_;
  const NativeOptions options_;
  std::atomic<uint64_t> epoch_;

  mutable Mutex mutex_;
  RequestTable table_;  // open() and free() under mutex_
  std::deque<uint64_t> demand_ GUARDED_BY(mutex_);
  std::deque<uint64_t> background_ GUARDED_BY(mutex_);
  std::vector<uint64_t> cancels_ GUARDED_BY(mutex_);
  bool ping_wanted_ GUARDED_BY(mutex_) = false;
  SendBatch batch_ GUARDED_BY(mutex_);
  std::vector<std::pair<uint64_t, size_t>> payloads_in_batch_
      GUARDED_BY(mutex_);  // id, and the batch's piece_count() with it
  WindowController window_ GUARDED_BY(mutex_);
  bool waits_for_writable_ GUARDED_BY(mutex_) = false;
  std::error_code failed_ GUARDED_BY(mutex_);
  Deadline earliest_deadline_ GUARDED_BY(mutex_) = Deadline::max();
  Deadline last_sent_ GUARDED_BY(mutex_);
  std::vector<CompletionSink*> refused_sinks_ GUARDED_BY(mutex_);
  std::vector<Completion> refused_ GUARDED_BY(mutex_);

  // The own thread's.
  ReplyReceiver receiver_{table_, *this};
  FrameDecoder decoder_{receiver_, FrameDecoder::First::frame};
  const UnsentLimit unsent_limit_;
  std::vector<std::byte> staging_;
  struct Ended {
    OpenRequest* request;
    bool by_answer;
  };
  std::vector<Ended> ended_;
  std::vector<CompletionSink*> sinks_;
  std::vector<Completion> completions_;
  Deadline last_received_;

  boost::asio::io_context io_{1};
  // A failed client still has refusals to deliver.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  boost::asio::posix::stream_descriptor descriptor_{io_};
  boost::asio::steady_timer deadline_timer_{io_};
  boost::asio::steady_timer alive_timer_{io_};
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace memsync::native
