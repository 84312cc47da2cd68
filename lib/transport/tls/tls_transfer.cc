// What a TLS stream does once the hands are shaken: records out of bytes and bytes out of records.
#include <openssl/err.h>

#include "lib/os/error.h"
#include "lib/transport/tls/tls_stream.h"

namespace memsync {

namespace {

constexpr size_t kRecordPayload = 16 << 10;  // RFC 8446, 5.1
constexpr size_t kRecordRoom = kRecordPayload + 256;
constexpr size_t kRecordsAtOnce = 8;

}  // namespace

// What is left of a gather list, from its start on.
class TlsStream::Pieces {
 public:
  explicit Pieces(std::span<const iovec> all) : all_(all) {
    for (const iovec& piece : all_) left_ += piece.iov_len;
  }
  size_t left() const noexcept { return left_; }
  // The rest of the piece at hand, at most `limit` bytes.
  std::span<const std::byte> next(size_t limit) {
    while (at_ == all_.front().iov_len) {
      all_ = all_.subspan(1);
      at_ = 0;
    }
    const size_t bytes = std::min(limit, all_.front().iov_len - at_);
    return {static_cast<const std::byte*>(all_.front().iov_base) + at_, bytes};
  }
  void advance(size_t bytes) {
    for (left_ -= bytes; bytes > 0;) {
      const size_t step = next(bytes).size();
      at_ += step;
      bytes -= step;
    }
  }

 private:
  std::span<const iovec> all_;
  size_t at_ = 0;
  size_t left_ = 0;
};

// --- reading -------------------------------------------------------------------------------------

std::optional<size_t> TlsStream::read_record(std::span<std::byte> into) {
  const MutexLock lock(mutex_);
  if (failure_) throw *failure_;  // NOLINT(cert-err60-cpp)
  if (!try_handshake()) return std::nullopt;
  ERR_clear_error();
  size_t moved = 0;
  const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &moved);
  if (result == 1) return moved;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      answer_key_updates();
      return std::nullopt;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      fail();
  }
}

// All that a reader may have to write: a peer that has changed its key may want a new one of ours.
void TlsStream::answer_key_updates() {
  if (!sealed_.empty() || out_.empty()) return;  // it goes before the next record
  if (out_.size() - out_start_ > kRecordRoom)
    throw_errno(setup_.peer + " changes its key again and again and reads no answer", EPROTO);
  try {
    flush();
  } catch (const std::system_error&) {
    // The next write says so.
  }
}

std::optional<size_t> TlsStream::read_some(std::span<const iovec> into) {
  size_t done = 0;
  has_pending_ = true;  // unless the call would block
  for (const iovec& piece : into) {
    const std::span room(static_cast<std::byte*>(piece.iov_base), piece.iov_len);
    for (size_t filled = 0; filled < room.size();) {
      std::optional<size_t> moved;
      try {
        moved = read_record(room.subspan(filled));
      } catch (const std::system_error&) {
        if (done == 0) throw;
        moved = 0;  // the next call throws it
      }
      if (!moved) has_pending_ = false;
      if (!moved && done == 0) return std::nullopt;
      if (!moved || *moved == 0) return done;
      filled += *moved;
      done += *moved;
      read_.fetch_add(*moved, std::memory_order_relaxed);
      setup_.counters->received.fetch_add(*moved, std::memory_order_relaxed);
    }
  }
  return done;
}

// --- writing -------------------------------------------------------------------------------------

// Records wait in out_ until the plain stream has taken all of them; only then they count as
// written. A caller comes back with the bytes that were not taken, of which the first
// sealed_bytes_ are in records already.
std::optional<size_t> TlsStream::write_some(std::span<const iovec> from) {
  const MutexLock lock(mutex_);
  if (failure_) throw *failure_;  // NOLINT(cert-err60-cpp)
  if (!try_handshake()) return std::nullopt;
  Pieces pieces(from);
  if (pieces.left() < sealed_bytes_)
    throw_errno("writing to " + setup_.peer + " something else than the rest", EPROTO);
  pieces.advance(sealed_bytes_);
  size_t moved = 0;
  try {
    if (flush()) {
      moved = take_written();
      seal(pieces);
      flush();
    }
  } catch (const std::system_error& problem) {
    fail_to_write(problem);
  }
  moved += take_written();
  if (moved == 0) return std::nullopt;
  written_.fetch_add(moved, std::memory_order_relaxed);
  setup_.counters->sent.fetch_add(moved, std::memory_order_relaxed);
  return moved;
}

// Full records, whose payload is taken from where it lies if it lies together.
void TlsStream::seal(Pieces& from) {
  while (from.left() > 0 && sealed_.size() < kRecordsAtOnce) {
    const auto together = from.next(kRecordPayload);
    if (together.size() == kRecordPayload || together.size() == from.left()) {
      seal_record(together);
      from.advance(together.size());
      continue;
    }
    gathered_.clear();
    while (from.left() > 0 && gathered_.size() < kRecordPayload) {
      const auto piece = from.next(kRecordPayload - gathered_.size());
      gathered_.insert(gathered_.end(), piece.begin(), piece.end());
      from.advance(piece.size());
    }
    seal_record(gathered_);
  }
}

void TlsStream::seal_record(std::span<const std::byte> payload) {
  if (out_.capacity() == 0) out_.reserve(kRecordsAtOnce * kRecordRoom);
  ERR_clear_error();
  size_t taken = 0;
  if (SSL_write_ex(ssl_.get(), payload.data(), payload.size(), &taken) != 1) fail();
  sealed_.push_back({out_.size(), taken});
  sealed_bytes_ += taken;
}

// True when the plain stream has taken everything.
bool TlsStream::flush() {
  while (out_start_ < out_.size()) {
    const iovec rest{out_.data() + out_start_, out_.size() - out_start_};
    const auto moved = plain_->write_some({&rest, 1});
    if (!moved) return false;
    out_start_ += *moved;
  }
  if (sealed_.empty()) {
    out_.clear();
    out_start_ = 0;
  }
  return true;
}

size_t TlsStream::take_written() {
  size_t bytes = 0, count = 0;
  while (count < sealed_.size() && sealed_[count].end <= out_start_)
    bytes += sealed_[count++].plain_bytes;
  sealed_.erase(sealed_.begin(), sealed_.begin() + static_cast<ptrdiff_t>(count));
  sealed_bytes_ -= bytes;
  return bytes;
}

}  // namespace memsync
