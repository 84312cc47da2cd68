#include "lib/transport/native/client.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>

#include "lib/transport/native/limits.h"

namespace memsync::native {

namespace asio = boost::asio;

namespace {

std::error_code posix_error(int value) {
  return {value, std::generic_category()};
}

}  // namespace

Client::Client(std::unique_ptr<Stream> stream, const Geometry& geometry, uint64_t epoch,
               const NativeOptions& options)
    : stream_(std::move(stream)),
      geometry_(geometry),
      options_(options),
      epoch_(epoch),
      last_sent_(Clock::now()),
      unsent_limit_(stream_->descriptor()),
      staging_(kReplyStagingBytes),
      last_received_(Clock::now()) {
  descriptor_.assign(stream_->descriptor());
  wait_readable();
  keep_alive();
  thread_ = std::jthread([this] { io_.run(); });
}

Client::~Client() {
  io_.stop();
  thread_.join();
  descriptor_.release();  // the stream closes it
  end_all(posix_error(ECANCELED));
}

uint64_t Client::window_bytes() const {
  MutexLock lock(mutex_);
  return window_.window_bytes();
}

uint64_t Client::background_in_flight() const {
  MutexLock lock(mutex_);
  return window_.in_flight_bytes();
}

// --- the own thread ------------------------------------------------------------------------------

void Client::wait_readable() {
  if (stream_->has_pending()) return asio::post(io_, [this] { on_readable(); });
  descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                         [this](const boost::system::error_code& error) {
                           if (!error) on_readable();
                         });
}

void Client::on_readable() {
  try {
    // A few rounds at a time, so that timers are not kept waiting by a fast peer.
    for (int round = 0; round < 16 && receive_once(); ++round) {
    }
  } catch (const std::system_error& error) {
    const bool foreign = error.code() == make_error_code(RegionError::malformed);
    fail(foreign ? error.code() : posix_error(ECONNRESET));
    return;
  }
  wait_readable();
}

// Receives and handles what is there; true when there may be more.
bool Client::receive_once() {
  const auto direct = decoder_.direct();
  std::array<iovec, 2> room{iovec{direct.data(), direct.size()},
                            iovec{staging_.data(), staging_.size()}};
  const auto moved = stream_->read_some(direct.empty() ? std::span(room).subspan(1) : room);
  if (!moved) return false;
  if (*moved == 0) throw std::system_error(posix_error(ECONNRESET), "the peer ended the stream");
  last_received_ = Clock::now();
  const size_t placed = std::min(*moved, direct.size());
  const auto finish = [this] {
    {
      MutexLock lock(mutex_);
      settle();
      flush();
    }
    deliver();
  };
  try {
    if (placed > 0) decoder_.placed(placed);
    decoder_.consume(std::span(staging_).first(*moved - placed));
  } catch (...) {
    finish();
    throw;
  }
  finish();
  return *moved == direct.size() + staging_.size();
}

bool Client::fully_sent(OpenRequest& request) {
  // Marked before the bytes are written, so that an answer that is quicker than this thread finds
  // it; what carries a payload of the caller's must also have left it.
  if (request.is_group || !request.sent.load(std::memory_order_acquire)) return false;
  if (request.kind != Kind::write && request.message.empty()) return true;
  MutexLock lock(mutex_);
  const auto waits = [this, id = request.id.load()](const auto& payload) REQUIRES(mutex_) {
    return payload.first == id && !batch_.has_sent(payload.second);
  };
  return request.message_sent == request.message.size() &&
         std::ranges::none_of(payloads_in_batch_, waits);
}

void Client::answered(OpenRequest& request, std::error_code error, std::string_view text) {
  if (error && request.kind != Kind::exchange) {
    const auto bytes = std::as_bytes(std::span(text));
    request.reply.assign(bytes.begin(), bytes.end());  // control() makes the message of it
  }
  end(request, error, true);
}

// Takes a request out of the table's sight; settle() frees it and deliver() tells its sink.
void Client::end(OpenRequest& request, std::error_code error, bool by_answer) {
  request.id.store(0, std::memory_order_release);
  ended_.push_back({&request, by_answer});
  if (request.group == nullptr) {
    const bool has_reply = request.kind != Kind::read && request.kind != Kind::write &&
                           (!error || request.kind != Kind::exchange);
    sinks_.push_back(request.sink);
    completions_.push_back({request.tag, error, {}});
    if (has_reply) completions_.back().reply = std::move(request.reply);
    return;
  }
  OpenRequest& group = *request.group;
  if (error && !group.error) group.error = error;
  if (--group.pieces_left == 0) end(group, group.error, by_answer);
}

void Client::settle() {
  if (ended_.empty()) return;
  const Deadline now = Clock::now();
  for (const auto& [request, by_answer] : ended_) {
    const bool in_window = request->urgency == Urgency::background && !request->is_group &&
                           request->sent.load(std::memory_order_relaxed);
    if (in_window && by_answer) {
      window_.answered(request->weight(), request->sent_at, now);
    } else if (in_window) {
      window_.forgotten(request->weight());
    }
    table_.free(*request);
  }
  ended_.clear();
}

void Client::deliver() {
  for (size_t first = 0; first < completions_.size();) {
    size_t last = first + 1;
    while (last < completions_.size() && sinks_[last] == sinks_[first]) ++last;
    sinks_[first]->completed(std::span(completions_).subspan(first, last - first));
    first = last;
  }
  sinks_.clear();
  completions_.clear();
}

void Client::wait_writable() {
  descriptor_.async_wait(asio::posix::descriptor_base::wait_write,
                         [this](const boost::system::error_code& error) {
                           if (error) return;
                           MutexLock lock(mutex_);
                           waits_for_writable_ = false;
                           flush();
                         });
}

void Client::arm_deadline() {
  Deadline next;
  {
    MutexLock lock(mutex_);
    next = earliest_deadline_;
  }
  if (next == Deadline::max()) return;
  deadline_timer_.expires_at(next);
  deadline_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) expire();
  });
}

void Client::expire() {
  {
    MutexLock lock(mutex_);
    const Deadline now = Clock::now();
    Deadline next = Deadline::max();
    std::vector<OpenRequest*> late;
    table_.for_each([&](OpenRequest& request) {
      if (request.deadline <= now) {
        late.push_back(&request);
      } else {
        next = std::min(next, request.deadline);
      }
    });
    if (!late.empty()) {
      batch_.own_payloads();  // the callers take their memory back
      payloads_in_batch_.clear();
    }
    for (OpenRequest* request : late) {
      if (receiver_.forget(*request)) decoder_.drop_rest();
      if (request->message_sent > 0 && request->message_sent < request->message.size())
        cancels_.push_back(request->id.load());
      end(*request, posix_error(ETIMEDOUT), false);
    }
    earliest_deadline_ = next;
    settle();
    flush();
  }
  arm_deadline();
  deliver();
}

void Client::keep_alive() {
  const Deadline now = Clock::now();
  if (now - last_received_ >= options_.dead_after) {
    // This process may have been stopped while answers arrived: look before judging.
    try {
      do {
        receive_once();
      } while (stream_->has_pending());
    } catch (const std::system_error&) {
      fail(posix_error(ECONNRESET));
      return;
    }
    if (now - last_received_ >= options_.dead_after) {
      fail(posix_error(ETIMEDOUT));
      return;
    }
  }
  {
    MutexLock lock(mutex_);
    if (failed_) return;
    const bool quiet = now - last_received_ >= options_.ping_interval ||
                       now - last_sent_ >= options_.ping_interval;
    if (quiet && batch_.empty()) {
      ping_wanted_ = true;
      flush();
    }
  }
  alive_timer_.expires_after(options_.ping_interval / 2);
  alive_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) keep_alive();
  });
}

void Client::fail(std::error_code error) {
  stream_->shut_down();
  boost::system::error_code ignored;
  descriptor_.cancel(ignored);
  deadline_timer_.cancel();
  alive_timer_.cancel();
  end_all(error);
}

void Client::end_all(std::error_code error) {
  {
    MutexLock lock(mutex_);
    if (!failed_) failed_ = error;
    batch_.clear();
    payloads_in_batch_.clear();
    demand_.clear();
    background_.clear();
    std::vector<OpenRequest*> open;
    table_.for_each([&](OpenRequest& request) {
      if (!request.is_group) open.push_back(&request);
    });
    for (OpenRequest* request : open) {
      if (receiver_.forget(*request)) decoder_.drop_rest();
      end(*request, error, false);
    }
    settle();
  }
  deliver();
  while (true) {  // those that were refused meanwhile, also from inside completed()
    {
      MutexLock lock(mutex_);
      if (refused_.empty()) return;
      sinks_.swap(refused_sinks_);
      completions_.swap(refused_);
    }
    deliver();
  }
}

}  // namespace memsync::native
