// One client at the server's end of the native protocol.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "lib/os/mutex.h"
#include "lib/transport/native/limits.h"
#include "lib/transport/native/native_transport.h"
#include "lib/transport/native/request_receiver.h"
#include "lib/transport/native/send_batch.h"

namespace memsync::native {

// What a connection needs of its server. Threads: the server's I/O thread.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  virtual RegionService& service() = 0;
  virtual const Hello& hello() const = 0;
  virtual const Geometry& geometry() const = 0;
  virtual boost::asio::io_context& io() = 0;
  // Runs a control call off the I/O thread, and `then` on it. A suspension waits until the writes
  // that are under way have ended, and holds further ones off.
  virtual void run_control(Kind kind, std::function<void()> work, std::function<void()> then) = 0;
  virtual bool fence_closing() const = 0;
  virtual void write_started() = 0;
  virtual void write_ended() = 0;
  // A closed connection has its last request back.
  virtual void forget_finished() = 0;
};

// Shared by its handlers in the event loop and the server's list: it lives until the last request
// that the service has of it is completed, for the service writes into its buffers.
// Threads: the I/O thread; completed() from any.
class ServerConnection : public std::enable_shared_from_this<ServerConnection>,
                         private RequestSink,
                         private CompletionSink {
 public:
  ServerConnection(ConnectionOwner& owner, std::unique_ptr<Stream> stream);
  ~ServerConnection() override;

  void start();
  void close() noexcept;
  // Closed, and nothing of it is with the service.
  bool finished() const noexcept { return closed_ && pending_.empty() && controls_ == 0; }
  // Closes a peer that said nothing, and took nothing, since `since`.
  void close_if_silent(Deadline since) noexcept;

 private:
  struct Reply {
    FrameHeader header;
    std::span<const std::byte> payload;  // borrowed, or of one of these:
    Buffer buffer{};
    std::vector<std::byte> message{};
    size_t sent = 0;  // of a message that goes in pieces
    uint64_t held = 0;
  };
  struct Pending {  // with the service, or waiting for room
    FrameHeader header;
    Buffer buffer{};
    std::string topic{};
    std::vector<std::byte> message{};
  };

  void on_hello(const Hello& hello) override;
  void on_read(const FrameHeader& header) override;
  void on_write(const FrameHeader& header, Buffer bytes) override;
  void on_exchange(const FrameHeader& header, std::string topic,
                   std::vector<std::byte> request) override;
  void on_control(const FrameHeader& header, std::vector<ByteRange> wanted) override;
  void on_ping(const FrameHeader& header) override;
  void completed(std::span<Completion> done) noexcept override;

  void wait_readable();
  void on_readable();
  bool receive_once();
  void wait_writable();
  bool has_room() const noexcept;
  bool is_stale(const FrameHeader& header);
  void start_waiting();
  void drain_completed();
  void finish(Pending pending, Completion done);
  void reply_done(const FrameHeader& request);
  void reply_failed(const FrameHeader& request, std::error_code error, const std::string& text);
  void push(Reply reply, Urgency urgency);
  void flush();
  void fill_batch();
  bool add_to_batch(Reply& reply);
  void after_events();

  ConnectionOwner& owner_;
  const std::unique_ptr<Stream> stream_;
  boost::asio::posix::stream_descriptor descriptor_;
  RequestReceiver receiver_{*this};
  FrameDecoder decoder_{receiver_, FrameDecoder::First::hello};
  UnsentLimit unsent_limit_;
  std::vector<std::byte> staging_;

  bool greeted_ = false;
  bool closed_ = false;
  bool closing_ = false;  // once everything is sent
  bool waits_for_readable_ = false;
  bool waits_for_writable_ = false;
  Deadline last_activity_;

  uint64_t epoch_ = 0;  // the service's, as of this round of events
  uint64_t held_bytes_ = 0;
  uint64_t next_tag_ = 1;
  size_t controls_ = 0;
  std::deque<Pending> waiting_demand_;
  std::deque<Pending> waiting_background_;
  std::unordered_map<uint64_t, Pending> pending_;
  std::deque<Reply> demand_;
  std::deque<Reply> background_;
  std::vector<Reply> in_batch_;
  Hello own_hello_{};
  SendBatch batch_;

  Mutex done_mutex_;
  std::vector<Completion> done_ GUARDED_BY(done_mutex_);
};

}  // namespace memsync::native
