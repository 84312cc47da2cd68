// The callers' side of the client: opening requests and sending them.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstring>
#include <string>

#include "lib/transport/native/client.h"
#include "lib/transport/native/limits.h"

namespace memsync::native {

namespace asio = boost::asio;

struct Client::Span {
  uint64_t offset;
  uint64_t bytes;
  std::byte* into;
  const std::byte* from;
  uint64_t tag;
};

void Client::refuse(CompletionSink& sink, uint64_t tag, std::error_code error) {
  refused_sinks_.push_back(&sink);
  refused_.push_back({tag, error, {}});
  if (refused_.size() > 1) return;  // the own thread has been told
  asio::post(io_, [this] {
    {
      MutexLock lock(mutex_);
      sinks_.insert(sinks_.end(), refused_sinks_.begin(), refused_sinks_.end());
      std::move(refused_.begin(), refused_.end(), std::back_inserter(completions_));
      refused_sinks_.clear();
      refused_.clear();
    }
    deliver();
  });
}

void Client::publish(OpenRequest& request, Deadline deadline) {
  request.deadline = deadline;
  const uint64_t id = RequestTable::next_id(request);
  (request.urgency == Urgency::demand ? demand_ : background_).push_back(id);
  RequestTable::publish(request, id);
  if (deadline >= earliest_deadline_) return;
  earliest_deadline_ = deadline;
  asio::post(io_, [this] { arm_deadline(); });
}

void Client::start_span(const Span& span, Kind kind, Urgency urgency, Deadline deadline,
                        CompletionSink& sink) {
  if (failed_) return refuse(sink, span.tag, failed_);
  if (!lies_within(span.offset, span.bytes, geometry_.size_bytes))
    return refuse(sink, span.tag, RegionError::out_of_bounds);
  const uint64_t piece = urgency == Urgency::demand ? kFramePayloadLimit : kBackgroundPiece;
  if (span.bytes > piece) return start_pieces(span, piece, kind, urgency, deadline, sink);
  OpenRequest* request = table_.open();
  if (request == nullptr) return refuse(sink, span.tag, {ENOBUFS, std::generic_category()});
  request->kind = kind;
  request->urgency = urgency;
  request->tag = span.tag;
  request->sink = &sink;
  request->epoch = epoch_;
  request->offset = span.offset;
  request->into = span.into;
  request->from = span.from;
  request->bytes = static_cast<uint32_t>(span.bytes);
  publish(*request, deadline);
}

void Client::start_pieces(const Span& span, uint64_t piece, Kind kind, Urgency urgency,
                          Deadline deadline, CompletionSink& sink) {
  std::vector<OpenRequest*> opened(span.bytes / piece + (span.bytes % piece != 0) + 1);
  for (auto& request : opened) {
    request = table_.open();
    if (request != nullptr) continue;
    for (OpenRequest* taken : opened)
      if (taken != nullptr) table_.free(*taken);
    return refuse(sink, span.tag, {ENOBUFS, std::generic_category()});
  }
  OpenRequest& group = *opened.back();
  opened.pop_back();
  group.is_group = true;
  group.kind = kind;
  group.urgency = urgency;
  group.tag = span.tag;
  group.sink = &sink;
  group.pieces_left = static_cast<uint32_t>(opened.size());
  RequestTable::publish(group, RequestTable::next_id(group));
  uint64_t done = 0;
  for (OpenRequest* request : opened) {
    const uint64_t bytes = std::min(piece, span.bytes - done);
    request->kind = kind;
    request->urgency = urgency;
    request->group = &group;
    request->epoch = epoch_;
    request->offset = span.offset + done;
    request->into = span.into == nullptr ? nullptr : span.into + done;
    request->from = span.from == nullptr ? nullptr : span.from + done;
    request->bytes = static_cast<uint32_t>(bytes);
    publish(*request, deadline);
    done += bytes;
  }
}

void Client::start_reads(std::span<const ReadRequest> requests, Urgency urgency, Deadline deadline,
                         CompletionSink& sink) {
  MutexLock lock(mutex_);
  for (const auto& [offset, into, tag] : requests)
    start_span({offset, into.size(), into.data(), nullptr, tag}, Kind::read, urgency, deadline,
               sink);
  flush();
}

void Client::start_writes(std::span<const WriteRequest> requests, Urgency urgency,
                          Deadline deadline, CompletionSink& sink) {
  MutexLock lock(mutex_);
  for (const auto& [offset, from, tag] : requests)
    start_span({offset, from.size(), nullptr, from.data(), tag}, Kind::write, urgency, deadline,
               sink);
  flush();
}

void Client::start_message(Kind kind, std::vector<std::byte> message, uint16_t topic_bytes,
                           uint64_t epoch, uint64_t tag, Urgency urgency, Deadline deadline,
                           CompletionSink& sink) {
  MutexLock lock(mutex_);
  if (failed_) return refuse(sink, tag, failed_);
  if (message.size() > kMessageLimit) return refuse(sink, tag, RegionError::too_large);
  OpenRequest* request = table_.open();
  if (request == nullptr) return refuse(sink, tag, {ENOBUFS, std::generic_category()});
  request->kind = kind;
  request->urgency = urgency;
  request->tag = tag;
  request->sink = &sink;
  request->epoch = epoch;
  request->topic_bytes = topic_bytes;
  request->message = std::move(message);
  publish(*request, deadline);
  flush();
}

void Client::start_exchange(std::string_view topic, std::span<const std::byte> request,
                            uint64_t tag, Urgency urgency, Deadline deadline,
                            CompletionSink& sink) {
  if (topic.size() > kTopicLimit) {
    MutexLock lock(mutex_);
    return refuse(sink, tag, RegionError::too_large);
  }
  const auto name = std::as_bytes(std::span(topic));
  std::vector<std::byte> message(name.begin(), name.end());
  message.insert(message.end(), request.begin(), request.end());
  start_message(Kind::exchange, std::move(message), static_cast<uint16_t>(topic.size()), epoch_,
                tag, urgency, deadline, sink);
}

// --- ownership -----------------------------------------------------------------------------------

namespace {

// One call's completion, waited for.
class Answer : public CompletionSink {
 public:
  void completed(std::span<Completion> done) noexcept override {
    MutexLock lock(mutex_);
    done_ = std::move(done.front());
    is_there_ = true;
    there_.notify_all();
  }
  Completion wait() {
    MutexLock lock(mutex_);
    while (!is_there_) there_.wait(mutex_);
    return std::move(done_);
  }

 private:
  Mutex mutex_;
  Condition there_;
  bool is_there_ GUARDED_BY(mutex_) = false;
  Completion done_ GUARDED_BY(mutex_);
};

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::start_tracking:
      return "starting to track writes";
    case Kind::suspend_and_collect:
      return "suspending the peer's app";
    case Kind::resume:
      return "resuming the peer's app";
    default:
      return "releasing the region";
  }
}

}  // namespace

std::vector<std::byte> Client::control(Kind kind, uint64_t epoch, std::vector<std::byte> message,
                                       Deadline deadline) {
  Answer answer;
  start_message(kind, std::move(message), 0, epoch, 0, Urgency::demand, deadline, answer);
  Completion done = answer.wait();
  if (!done.error) return std::move(done.reply);
  std::string attempt = name_of(kind);
  if (!done.reply.empty())
    attempt +=
        ": " + std::string(reinterpret_cast<const char*>(done.reply.data()), done.reply.size());
  throw std::system_error(done.error, attempt);
}

void Client::start_tracking(uint64_t epoch, Deadline deadline) {
  control(Kind::start_tracking, epoch, {}, deadline);
}

Suspension Client::suspend_and_collect(uint64_t epoch, std::span<const ByteRange> wanted,
                                       Deadline deadline) {
  uint64_t wanted_bytes = 0;
  for (const auto& range : wanted) {
    if (!lies_within(range.offset, range.length, geometry_.size_bytes))
      throw std::system_error(make_error_code(RegionError::out_of_bounds), "suspending: a range");
    wanted_bytes += range.length;
    if (wanted_bytes > kMessageLimit / 2)
      throw std::system_error(make_error_code(RegionError::too_large), "suspending: the ranges");
  }
  const auto reply = control(Kind::suspend_and_collect, epoch, encode_ranges(wanted), deadline);
  Suspension found = decode_suspension(reply, geometry_.chunk_count(), wanted_bytes);
  epoch_ = epoch + 1;
  return found;
}

void Client::resume(uint64_t epoch, Deadline deadline) {
  control(Kind::resume, epoch, {}, deadline);
  epoch_ = epoch;
}

void Client::release(uint64_t epoch, Deadline deadline) {
  control(Kind::release, epoch, {}, deadline);
}

// --- sending -------------------------------------------------------------------------------------

void Client::flush() {
  if (waits_for_writable_ || failed_) return;
  try {
    while (true) {
      if (batch_.empty()) fill_batch();
      if (batch_.empty()) return;
      last_sent_ = Clock::now();
      if (!batch_.send(*stream_)) break;
      payloads_in_batch_.clear();
    }
  } catch (const std::system_error&) {
    batch_.clear();
    payloads_in_batch_.clear();
    failed_ = {ECONNRESET, std::generic_category()};
    asio::post(io_, [this] { fail({ECONNRESET, std::generic_category()}); });
    return;
  }
  waits_for_writable_ = true;
  asio::post(io_, [this] { wait_writable(); });
}

void Client::fill_batch() {
  if (ping_wanted_) {
    FrameHeader ping;
    ping.kind = Kind::ping;
    batch_.add(ping, {});
    ping_wanted_ = false;
  }
  while (!cancels_.empty() && !batch_.full()) {
    FrameHeader cancel;
    cancel.kind = Kind::cancel;
    cancel.id = cancels_.back();
    cancels_.pop_back();
    batch_.add(cancel, {});
  }
  const auto room = [this]() REQUIRES(mutex_) {
    return !batch_.full() && batch_.payload_bytes() < kBatchPayload;
  };
  while (room() && !demand_.empty())
    if (add_to_batch(demand_.front(), {})) demand_.pop_front();
  if (background_.empty() || !room() || batch_.payload_bytes() > 0) return;
  const Deadline now = Clock::now();
  // One piece of background payload at a time, so that demand waits for no more.
  while (room() && batch_.payload_bytes() < kBackgroundPiece && !background_.empty()) {
    const OpenRequest* next = table_.find(background_.front());
    const bool goes_on = next != nullptr && next->message_sent > 0;  // it is in the window already
    if (!goes_on && !window_.may_send()) return window_.was_full();
    if (add_to_batch(background_.front(), now)) background_.pop_front();
  }
}

// True when the request needs no further frame.
bool Client::add_to_batch(uint64_t id, Deadline now) {
  OpenRequest* request = table_.find(id);
  if (request == nullptr) return true;  // it ended while it was queued
  FrameHeader header;
  header.kind = request->kind;
  header.id = id;
  header.epoch = request->epoch;
  header.offset = request->offset;
  header.patience_ms = patience_until(request->deadline);
  const bool background = request->urgency == Urgency::background;
  if (background) header.flags = kFlagBackground;
  if (request->kind == Kind::read) header.read_bytes = request->bytes;
  if (request->kind == Kind::exchange) header.detail = request->topic_bytes;
  if (background && !request->sent.load(std::memory_order_relaxed)) {
    request->sent_at = now;
    window_.sent(request->weight());
  }
  request->sent.store(true, std::memory_order_release);
  std::span<const std::byte> payload;
  if (request->kind == Kind::write) payload = {request->from, request->bytes};
  if (!request->message.empty()) {
    const size_t piece = background ? kBackgroundPiece : kFramePayloadLimit;
    payload = std::span(request->message).subspan(request->message_sent);
    if (payload.size() > piece) {
      payload = payload.first(piece);
      header.flags |= kFlagMore;
    }
    request->message_sent += payload.size();
  }
  batch_.add(header, payload);
  if (payload.empty()) return true;
  payloads_in_batch_.emplace_back(id, batch_.piece_count());
  return !((header.flags & kFlagMore) != 0);
}

}  // namespace memsync::native
