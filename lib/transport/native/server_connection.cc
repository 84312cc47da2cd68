#include "lib/transport/native/server_connection.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "lib/transport/native/limits.h"

namespace memsync::native {

namespace asio = boost::asio;

namespace {

constexpr uint64_t kHeldLimit = 16ULL << 20;  // bytes in buffers of one connection
constexpr size_t kOpenLimit = 16384;          // requests of one connection that are not yet sent

}  // namespace

ServerConnection::ServerConnection(ConnectionOwner& owner, std::unique_ptr<Stream> stream)
    : owner_(owner),
      stream_(std::move(stream)),
      descriptor_(owner.io()),
      unsent_limit_(stream_->descriptor()),
      staging_(kRequestStagingBytes),
      last_activity_(Clock::now()) {
  descriptor_.assign(stream_->descriptor());
}

ServerConnection::~ServerConnection() {
  if (descriptor_.is_open()) descriptor_.release();
}

void ServerConnection::start() {
  wait_readable();
}

void ServerConnection::close() noexcept {
  if (closed_) return;
  closed_ = true;
  stream_->shut_down();
  descriptor_.release();  // cancels its waits; the stream closes it
  batch_.clear();
  demand_.clear();
  background_.clear();
  in_batch_.clear();
  waiting_demand_.clear();
  waiting_background_.clear();
}

void ServerConnection::close_if_silent(Deadline since) noexcept {
  if (last_activity_ < since) close();
}

// --- receiving -----------------------------------------------------------------------------------

void ServerConnection::wait_readable() {
  if (waits_for_readable_ || closed_) return;
  waits_for_readable_ = true;
  const auto go_on = [self = shared_from_this()](const boost::system::error_code& error) {
    self->waits_for_readable_ = false;
    if (!error && !self->closed_) self->on_readable();
  };
  if (stream_->has_pending())
    asio::post(owner_.io(), [go_on] { go_on({}); });
  else
    descriptor_.async_wait(asio::posix::descriptor_base::wait_read, go_on);
}

bool ServerConnection::has_room() const noexcept {
  const size_t open = pending_.size() + demand_.size() + background_.size() +
                      waiting_demand_.size() + waiting_background_.size();
  return held_bytes_ < kHeldLimit && open < kOpenLimit;
}

void ServerConnection::on_readable() {
  try {
    for (int round = 0; round < 16 && !closing_ && has_room() && receive_once(); ++round)
      after_events();
  } catch (const std::system_error&) {
    close();  // foreign bytes or a lost peer: nobody is there to be told
    return;
  }
  after_events();
}

bool ServerConnection::receive_once() {
  const auto direct = decoder_.direct();
  std::array<iovec, 2> room{iovec{direct.data(), direct.size()},
                            iovec{staging_.data(), staging_.size()}};
  const auto moved = stream_->read_some(direct.empty() ? std::span(room).subspan(1) : room);
  if (!moved) return false;
  if (*moved == 0) throw std::system_error(ECONNRESET, std::generic_category());
  last_activity_ = Clock::now();
  epoch_ = owner_.service().epoch();
  const size_t placed = std::min(*moved, direct.size());
  if (placed > 0) decoder_.placed(placed);
  decoder_.consume(std::span(staging_).first(*moved - placed));
  return *moved == direct.size() + staging_.size();
}

// What one round of receiving or completing leaves to do.
void ServerConnection::after_events() {
  if (closed_) return;
  start_waiting();
  flush();
  if (!closed_ && !closing_ && has_room()) wait_readable();
}

void ServerConnection::on_hello(const Hello& hello) {
  own_hello_ = owner_.hello();
  own_hello_.epoch = owner_.service().epoch();
  if (!difference(hello, own_hello_, false).empty()) {
    own_hello_.refused = 1;
    closing_ = true;
  }
  // Sixty-four bytes into an empty socket buffer: they go at once or the peer is not worth it.
  const iovec piece{&own_hello_, sizeof own_hello_};
  if (stream_->write_some({&piece, 1}) != sizeof own_hello_)
    throw std::system_error(ECONNRESET, std::generic_category());
  greeted_ = true;
}

bool ServerConnection::is_stale(const FrameHeader& header) {
  if (header.epoch == epoch_) return false;
  reply_failed(header, RegionError::stale_epoch,
               "epoch " + std::to_string(header.epoch) + " was asked of, the region is at " +
                   std::to_string(epoch_));
  return true;
}

void ServerConnection::on_read(const FrameHeader& header) {
  if (is_stale(header)) return;
  const uint32_t limit =
      header.urgency() == Urgency::demand ? kFramePayloadLimit : kBackgroundPiece;
  if (header.read_bytes > limit)
    return reply_failed(
        header, RegionError::too_large,
        std::to_string(header.read_bytes) + " bytes, more than " + std::to_string(limit));
  if (!lies_within(header.offset, header.read_bytes, owner_.geometry().size_bytes))
    return reply_failed(
        header, RegionError::out_of_bounds,
        std::to_string(header.read_bytes) + " bytes at " + std::to_string(header.offset));
  const auto memory = owner_.service().borrow({header.offset, header.read_bytes});
  if (memory.size() == header.read_bytes) {
    Reply reply;
    reply.header.kind = Kind::done;
    reply.header.id = header.id;
    reply.header.epoch = epoch_;
    reply.payload = memory;
    push(std::move(reply), header.urgency());
    return;
  }
  auto& queue = header.urgency() == Urgency::demand ? waiting_demand_ : waiting_background_;
  queue.push_back({.header = header});
}

void ServerConnection::on_write(const FrameHeader& header, Buffer bytes) {
  if (is_stale(header)) return;
  if (owner_.fence_closing())
    return reply_failed(header, RegionError::stale_epoch,
                        "epoch " + std::to_string(header.epoch) + " is being handed over to " +
                            std::to_string(header.epoch + 1));
  if (!lies_within(header.offset, bytes.size, owner_.geometry().size_bytes))
    return reply_failed(header, RegionError::out_of_bounds,
                        std::to_string(bytes.size) + " bytes at " + std::to_string(header.offset));
  const uint64_t tag = next_tag_++;
  const WriteRequest request{header.offset, bytes.span(), tag};
  held_bytes_ += bytes.size;
  pending_.emplace(tag, Pending{.header = header, .buffer = std::move(bytes)});
  owner_.write_started();
  owner_.service().start_writes({&request, 1}, header.urgency(), deadline_of(header.patience_ms),
                                *this);
}

void ServerConnection::on_exchange(const FrameHeader& header, std::string topic,
                                   std::vector<std::byte> request) {
  if (is_stale(header)) return;
  held_bytes_ += request.size();
  auto& queue = header.urgency() == Urgency::demand ? waiting_demand_ : waiting_background_;
  queue.push_back({.header = header, .topic = std::move(topic), .message = std::move(request)});
}

void ServerConnection::on_ping(const FrameHeader& header) {
  Reply pong;
  pong.header.kind = Kind::pong;
  pong.header.id = header.id;
  push(std::move(pong), Urgency::demand);
}

void ServerConnection::on_control(const FrameHeader& header, std::vector<ByteRange> wanted) {
  ++controls_;
  uint64_t wanted_bytes = 0;
  for (const auto& range : wanted)
    wanted_bytes += std::min(range.length, kMessageLimit);  // no overflow: at most 4 Mi ranges
  if (wanted_bytes > kMessageLimit / 2) {
    --controls_;
    return reply_failed(header, RegionError::too_large, "the ranges to collect");
  }
  struct Result {
    std::vector<std::byte> reply;
    std::error_code error;
    std::string text;
  };
  const auto result = std::make_shared<Result>();  // shared by the two halves of the call
  const auto work = [&service = owner_.service(), geometry = owner_.geometry(), header, result,
                     wanted = std::move(wanted)] {
    const Deadline deadline = deadline_of(header.patience_ms);
    try {
      switch (header.kind) {
        case Kind::start_tracking:
          service.start_tracking(header.epoch, deadline);
          break;
        case Kind::resume:
          service.resume(header.epoch, deadline);
          break;
        case Kind::release:
          service.release(header.epoch, deadline);
          break;
        default:
          result->reply = encode_suspension(
              service.suspend_and_collect(header.epoch, wanted, deadline), geometry.chunk_count());
          if (result->reply.size() > kMessageLimit) result->error = RegionError::too_large;
      }
    } catch (const std::system_error& error) {
      result->error = error.code();
      result->text = error.what();
    } catch (const std::exception& error) {
      result->error = std::error_code(EIO, std::generic_category());
      result->text = error.what();
    }
  };
  owner_.run_control(header.kind, work, [self = shared_from_this(), header, result] {
    --self->controls_;
    if (self->finished()) self->owner_.forget_finished();
    if (self->closed_) return;
    self->epoch_ = self->owner_.service().epoch();
    if (result->error) {
      self->reply_failed(header, result->error, result->text);
    } else {
      self->finish(Pending{.header = header}, Completion{0, {}, std::move(result->reply)});
    }
    self->after_events();
  });
}

// --- the service's answers -----------------------------------------------------------------------

void ServerConnection::start_waiting() {
  std::vector<ReadRequest> reads;
  for (auto* queue : {&waiting_demand_, &waiting_background_}) {
    while (!queue->empty() && held_bytes_ < kHeldLimit) {
      Pending next = std::move(queue->front());
      queue->pop_front();
      const uint64_t tag = next_tag_++;
      const Deadline deadline = deadline_of(next.header.patience_ms);
      const Urgency urgency = next.header.urgency();
      if (next.header.kind == Kind::exchange) {
        const Pending& kept = pending_.emplace(tag, std::move(next)).first->second;
        owner_.service().start_exchange(kept.topic, kept.message, tag, urgency, deadline, *this);
        continue;
      }
      next.buffer = Buffer::of(next.header.read_bytes);
      held_bytes_ += next.buffer.size;
      const ReadRequest read{next.header.offset, next.buffer.span(), tag};
      pending_.emplace(tag, std::move(next));
      owner_.service().start_reads({&read, 1}, urgency, deadline, *this);
    }
  }
}

void ServerConnection::completed(std::span<Completion> done) noexcept {
  bool first = false;
  {
    MutexLock lock(done_mutex_);
    first = done_.empty();
    std::move(done.begin(), done.end(), std::back_inserter(done_));
  }
  if (first) asio::post(owner_.io(), [self = shared_from_this()] { self->drain_completed(); });
}

void ServerConnection::drain_completed() {
  std::vector<Completion> done;
  {
    MutexLock lock(done_mutex_);
    done.swap(done_);
  }
  epoch_ = owner_.service().epoch();
  for (auto& completion : done) {
    auto node = pending_.extract(completion.tag);
    if (node.empty()) continue;
    if (node.mapped().header.kind == Kind::write) owner_.write_ended();
    if (!closed_) finish(std::move(node.mapped()), std::move(completion));
  }
  if (finished()) owner_.forget_finished();
  after_events();
}

void ServerConnection::finish(Pending pending, Completion done) {
  const FrameHeader& asked = pending.header;
  const uint64_t held = pending.buffer.size + pending.message.size();
  held_bytes_ -= held;
  if (done.error) return reply_failed(asked, done.error, {});
  if (done.reply.size() > kMessageLimit)
    return reply_failed(asked, RegionError::too_large, "the answer");
  Reply reply;
  reply.header.kind = Kind::done;
  reply.header.id = asked.id;
  reply.header.epoch = epoch_;
  if (asked.kind == Kind::read) {
    reply.buffer = std::move(pending.buffer);
    reply.payload = reply.buffer.span();
    reply.held = reply.buffer.size;
  } else {
    reply.message = std::move(done.reply);
    reply.payload = reply.message;
    reply.held = reply.message.size();
  }
  held_bytes_ += reply.held;
  push(std::move(reply), asked.urgency());
}

void ServerConnection::reply_failed(const FrameHeader& request, std::error_code error,
                                    const std::string& text) {
  Reply reply;
  reply.header = failure_header(request.id, error);
  reply.header.epoch = epoch_;
  const auto bytes =
      std::as_bytes(std::span(text)).first(std::min<size_t>(text.size(), kErrorTextLimit));
  reply.message.assign(bytes.begin(), bytes.end());
  reply.payload = reply.message;
  push(std::move(reply), request.urgency());
}

void ServerConnection::push(Reply reply, Urgency urgency) {
  (urgency == Urgency::demand ? demand_ : background_).push_back(std::move(reply));
}

// --- sending -------------------------------------------------------------------------------------

void ServerConnection::wait_writable() {
  if (waits_for_writable_) return;
  waits_for_writable_ = true;
  descriptor_.async_wait(asio::posix::descriptor_base::wait_write,
                         [self = shared_from_this()](const boost::system::error_code& error) {
                           self->waits_for_writable_ = false;
                           if (!error && !self->closed_) self->after_events();
                         });
}

void ServerConnection::flush() {
  if (waits_for_writable_) return;
  try {
    while (true) {
      if (batch_.empty()) fill_batch();
      if (batch_.empty()) break;
      if (!batch_.send(*stream_)) return wait_writable();
      last_activity_ = Clock::now();
      for (const Reply& reply : in_batch_) held_bytes_ -= reply.held;
      in_batch_.clear();
    }
  } catch (const std::system_error&) {
    return close();
  }
  if (closing_) return close();
  if (!background_.empty()) wait_writable();
}

void ServerConnection::fill_batch() {
  unsent_limit_.follow(stream_->bytes_written());
  const size_t limit = unsent_limit_.bytes();
  const auto room = [&](size_t bytes) { return !batch_.full() && batch_.payload_bytes() < bytes; };
  while (room(limit) && !demand_.empty())
    if (add_to_batch(demand_.front())) demand_.pop_front();
  if (!batch_.empty() || background_.empty()) return;
  const size_t unsent = unsent_bytes(stream_->descriptor());
  if (unsent >= limit / 2) return;  // the kernel calls it writable below that
  while (room(limit - unsent) && !background_.empty())
    if (add_to_batch(background_.front())) background_.pop_front();
}

// True when the reply needs no further frame. What it borrows or owns stays in in_batch_.
bool ServerConnection::add_to_batch(Reply& reply) {
  auto payload = reply.payload.subspan(reply.sent);
  const bool last = reply.message.empty() || payload.size() <= kBackgroundPiece;
  FrameHeader header = reply.header;
  if (last) {
    batch_.add(header, payload);
    if (reply.held > 0 || !reply.message.empty()) in_batch_.push_back(std::move(reply));
    return true;
  }
  header.flags |= kFlagMore;
  payload = payload.first(kBackgroundPiece);
  batch_.add(header, payload);
  reply.sent += payload.size();
  return false;
}

}  // namespace memsync::native
