#include "approaches/mmap_push/frame_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/os/error.h"
#include "lib/transport/region_service.h"

namespace memsync::mmap_push {

namespace {

constexpr size_t kBufferBytes = 256 << 10;
// Of these, the text that a peer gives up with; the rest of a message is data or short.
constexpr uint32_t kShortPayloadMax = 64 << 10;
constexpr Nanoseconds kFailureLimit = std::chrono::seconds(1);

Role other(Role role) {  // an observer hears what a receiver does
  return role == Role::source ? Role::receiver : Role::source;
}

void say_hello(Stream& stream, Role self, Deadline deadline) {
  const Hello ours{.role = self};
  stream.write_all(std::as_bytes(std::span(&ours, 1)), deadline);
}

void check_hello(const Hello& theirs, Role expected) {
  if (const std::string problem = hello_problem(theirs, expected); !problem.empty())
    throw std::system_error(make_error_code(RegionError::refused), problem);
}

}  // namespace

Hello read_hello(Stream& stream, Deadline deadline) {
  Hello theirs;
  stream.read_all(std::as_writable_bytes(std::span(&theirs, 1)), deadline);
  check_hello(theirs, theirs.role);
  return theirs;
}

FrameStream::FrameStream(Stream& stream, Role self)
    : stream_(stream),
      self_(self),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferBytes)) {}

void FrameStream::greet(Deadline deadline) {
  say_hello(stream_, self_, deadline);
  Hello theirs;
  stream_.read_all(std::as_writable_bytes(std::span(&theirs, 1)), deadline);
  check_hello(theirs, other(self_));
}

void FrameStream::greet_back(const Hello& theirs, Deadline deadline) {
  say_hello(stream_, self_, deadline);
  check_hello(theirs, self_ == Role::source && theirs.role == Role::observer ? Role::observer
                                                                             : other(self_));
}

void FrameStream::fill(Deadline deadline) {
  start_ = 0;
  end_ = 0;  // also when the next line throws
  end_ = stream_.read_part({buffer_.get(), kBufferBytes}, deadline);
  if (end_ == 0) throw_errno("reading from the peer, which ended the stream", ECONNRESET);
}

bool FrameStream::wait(Deadline deadline) {
  if (start_ < end_) return true;
  start_ = 0;
  end_ = 0;  // also when the next line throws
  end_ = stream_.read_part({buffer_.get(), kBufferBytes}, deadline);
  return end_ > 0;
}

FrameHeader FrameStream::next(Deadline deadline) {
  while (payload_left_ > 0) {
    if (start_ == end_) fill(deadline);
    const size_t skipped = std::min<size_t>(payload_left_, end_ - start_);
    start_ += skipped;
    payload_left_ -= static_cast<uint32_t>(skipped);
  }
  FrameHeader header;
  payload_left_ = sizeof header;
  read(std::as_writable_bytes(std::span(&header, 1)), deadline);
  check_header(header, other(self_));
  payload_left_ = header.payload_bytes;
  if (header.kind != Kind::failed) return header;
  if (header.payload_bytes > kShortPayloadMax) throw_malformed("a failure of too many words");
  const Failure failure = decode_failure(read_rest(deadline));
  throw PeerFailure(failure.error > 0 ? failure.error : ECONNABORTED, std::generic_category(),
                    "the other side gave up: " + failure.text);
}

void FrameStream::read(std::span<std::byte> into, Deadline deadline) {
  if (into.size() > payload_left_) throw_malformed("a message is too short");
  payload_left_ -= static_cast<uint32_t>(into.size());
  while (!into.empty()) {
    if (start_ == end_) {
      if (into.size() >= kBufferBytes) {
        stream_.read_all(into, deadline);
        return;
      }
      fill(deadline);
    }
    const size_t count = std::min(into.size(), end_ - start_);
    std::memcpy(into.data(), buffer_.get() + start_, count);
    start_ += count;
    into = into.subspan(count);
  }
}

std::vector<std::byte> FrameStream::read_rest(Deadline deadline) {
  std::vector<std::byte> payload(payload_left_);
  read(payload, deadline);
  return payload;
}

bool FrameStream::is_readable() {
  if (start_ < end_) return true;
  start_ = 0;
  end_ = 0;  // also when the next line throws
  const iovec room{buffer_.get(), kBufferBytes};
  const auto moved = stream_.read_some({&room, 1});
  end_ = moved.value_or(0);
  return moved.has_value();
}

void FrameStream::send(Kind kind, uint32_t file, std::span<const std::byte> payload,
                       uint8_t flags) {
  const FrameHeader header{.kind = kind,
                           .flags = flags,
                           .payload_bytes = static_cast<uint32_t>(payload.size()),
                           .file = file};
  const auto bytes = std::as_bytes(std::span(&header, 1));
  unsent_.insert(unsent_.end(), bytes.begin(), bytes.end());
  unsent_.insert(unsent_.end(), payload.begin(), payload.end());
}

void FrameStream::look_for_failure() {
  const Deadline deadline = after(kFailureLimit);
  try {
    while (Clock::now() < deadline && is_readable()) next(deadline);
  } catch (const PeerFailure&) {
    throw;
  } catch (const std::system_error&) {
    // It has said nothing.
  }
}

void FrameStream::flush(Deadline deadline) {
  const auto now = std::exchange(unsent_, {});  // gone when this throws, too: the stream is broken
  stream_.write_all(now, deadline);
}

}  // namespace memsync::mmap_push
