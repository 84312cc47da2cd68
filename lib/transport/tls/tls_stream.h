// A stream inside TLS 1.3, over another stream.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/os/mutex.h"
#include "lib/transport/socket_stream.h"
#include "lib/transport/tls/openssl_handles.h"
#include "lib/transport/tls/tls_error.h"

namespace memsync {

//   write_some ─ gather ─► SSL_write ─► records ─► the plain stream ─► SSL_read ─► read_some
//                  16 KiB               up to 8, one sendmsg          up to 128 KiB, one recvmsg
//
// An accepted stream shakes hands inside its first calls, in the thread that serves it, within
// kHandshakeLimit; until then it reads: who polls by hand reads first. A refusal is thrown with
// words at both ends, code TlsError; one that dialled may learn of it at its first read, since in
// TLS 1.3 it is done before the other end has looked at its certificate (RFC 8446, 4.4).
// The peer's end without TLS's own is ECONNRESET, for anybody can end a TCP connection.
// Threads: as Stream. OpenSSL takes one call at a time, so that both halves hold a mutex, for one
// record each time and never while they wait.
class TlsStream : public Stream {
 public:
  enum class Role : uint8_t { dialled, accepted };
  // "" for who may come, otherwise why not.
  using Objection = std::function<std::string(const PeerIdentity&)>;
  struct Setup {
    std::shared_ptr<SSL_CTX> context;  // as of TlsCredentials
    Role role;
    std::string peer;       // in words: whom an error speaks of
    std::string host{};     // dialled: the name that the peer's certificate must have
    Objection objection{};  // accepted
    // Accepted: called with the words when the peer is refused, for callers that drop them.
    std::function<void(const std::string&)> tell{};
    std::shared_ptr<ByteCounters> counters;  // payload; shared by a network and its streams
  };
  static constexpr Nanoseconds kHandshakeLimit = std::chrono::seconds(10);

  TlsStream(std::unique_ptr<Stream> plain, Setup setup);
  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // All of the handshake. Throws as read_some, and ETIMEDOUT.
  void shake_hands(Deadline deadline);

  std::optional<size_t> read_some(std::span<const iovec> into) override;
  std::optional<size_t> write_some(std::span<const iovec> from) override;
  int descriptor() const noexcept override { return plain_->descriptor(); }
  bool has_pending() const noexcept override { return has_pending_; }
  std::optional<PeerIdentity> peer_identity() const override;
  void shut_down() noexcept override;
  uint64_t bytes_read() const noexcept override { return read_.load(std::memory_order_relaxed); }
  uint64_t bytes_written() const noexcept override {
    return written_.load(std::memory_order_relaxed);
  }

 private:
  struct Sealed {  // a record that waits in out_
    size_t end;    // where it ends there
    size_t plain_bytes;
  };
  class Pieces;

  short events_for(short wanted) const noexcept override;

  bool try_handshake() REQUIRES(mutex_);
  std::optional<size_t> read_record(std::span<std::byte> into);
  void answer_key_updates() REQUIRES(mutex_);
  void seal(Pieces& from) REQUIRES(mutex_);
  void seal_record(std::span<const std::byte> payload) REQUIRES(mutex_);
  size_t take_written() REQUIRES(mutex_);
  bool flush() REQUIRES(mutex_);
  void say_goodbye() noexcept REQUIRES(mutex_);
  // Ends the connection for good: with OpenSSL's reason, in words.
  [[noreturn]] void fail() REQUIRES(mutex_);
  [[noreturn]] void fail_in_handshake(const std::system_error& failure) REQUIRES(mutex_);
  [[noreturn]] void fail_to_write(const std::system_error& failure) REQUIRES(mutex_);
  void drain() noexcept REQUIRES(mutex_);

  // OpenSSL's way to the plain stream.
  static const BIO_METHOD* bio_method();
  static int bio_read(BIO* bio, char* into, int bytes) noexcept;
  static int bio_write(BIO* bio, const char* from, int bytes) noexcept;
  static long bio_control(BIO* bio, int command, long, void*) noexcept;
  static int verify(int preverified, X509_STORE_CTX* chain) noexcept;

  const std::unique_ptr<Stream> plain_;
  const Setup setup_;
  const Deadline handshake_until_;
  mutable Mutex mutex_;
  tls::SslHandle ssl_ GUARDED_BY(mutex_);
  std::atomic<bool> is_shaken_{false};
  std::atomic<bool> has_to_write_{false};  // for the handshake
  std::optional<PeerIdentity> identity_ GUARDED_BY(mutex_);
  // As verify() saw them, inside a call that holds mutex_.
  tls::CertificateHandle theirs_;
  std::string objection_;
  std::optional<std::system_error> failure_ GUARDED_BY(mutex_);
  bool has_said_goodbye_ GUARDED_BY(mutex_) = false;
  std::exception_ptr io_failure_;  // of bio_read(), inside such a call
  bool saw_end_ = false;
  // Written by bio_write(), inside such a call: what the plain stream has yet to take.
  std::vector<std::byte> out_;
  size_t out_start_ GUARDED_BY(mutex_) = 0;
  std::vector<Sealed> sealed_ GUARDED_BY(mutex_);
  size_t sealed_bytes_ GUARDED_BY(mutex_) = 0;  // payload of sealed_: of the next call's first
  std::vector<std::byte> gathered_ GUARDED_BY(mutex_);
  bool has_pending_ = false;  // the reader's
  std::atomic<uint64_t> read_{0};
  std::atomic<uint64_t> written_{0};
};

// The names that a certificate holds; at most 64 of them.
PeerIdentity identity_of(X509* certificate);

}  // namespace memsync
