#include "lib/transport/tls/tls_stream.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <openssl/err.h>
#include <poll.h>
#include <stdexcept>

#include "lib/os/error.h"
#include "lib/transport/tls/tls_words.h"

namespace memsync {

namespace {

constexpr size_t kStrangersRest = 64 << 10;
constexpr size_t kNamesMax = 64;
constexpr size_t kNameBytes = 255;

// What an end that expects no TLS takes for a fatal alert, protocol_version (RFC 8446, 6.2), so
// that it can say what it met. OpenSSL says nothing to those.
constexpr std::array<std::byte, 7> kAlertInPlain = {std::byte{21},
                                                    std::byte{3},
                                                    std::byte{3},
                                                    std::byte{0},
                                                    std::byte{2},
                                                    std::byte{2},
                                                    std::byte{SSL_AD_PROTOCOL_VERSION}};

// Names come from strangers and go to terminals.
std::string printable(const unsigned char* text, int bytes) {
  std::string name(reinterpret_cast<const char*>(text),
                   std::min(static_cast<size_t>(std::max(bytes, 0)), kNameBytes));
  std::ranges::replace_if(name, [](char c) { return c < ' ' || c > '~'; }, '?');
  return name;
}

std::string ip_of(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (ASN1_STRING_length(address) != (family == AF_INET ? 4 : 16)) return "?";
  ::inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size());
  return text.data();
}

std::string printable(const ASN1_STRING* text) {
  return printable(ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
}

// Whether the name of an IP address or of a host is now demanded of the peer's certificate.
bool demand_name(SSL* ssl, const std::string& host) {
  SSL_set_hostflags(ssl,
                    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1) return true;
  ERR_clear_error();
  return SSL_set1_host(ssl, host.c_str()) == 1;
}

}  // namespace

PeerIdentity identity_of(X509* certificate) {
  PeerIdentity identity;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0)
    identity.common_name = printable(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  const tls::NamesHandle names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  for (int i = 0; i < count && identity.names.size() < kNamesMax; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) identity.names.push_back(printable(name->d.dNSName));
    if (name->type == GEN_IPADD) identity.names.push_back(ip_of(name->d.iPAddress));
  }
  return identity;
}

TlsStream::TlsStream(std::unique_ptr<Stream> plain, Setup setup)
    : plain_(std::move(plain)),
      setup_(std::move(setup)),
      handshake_until_(setup_.role == Role::accepted ? after(kHandshakeLimit) : Deadline::max()),
      ssl_(SSL_new(setup_.context.get())) {
  const MutexLock lock(mutex_);
  BIO* const bio = BIO_new(bio_method());
  if (!ssl_ || bio == nullptr) throw_errno("preparing a TLS connection", ENOMEM);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // which owns it
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
  if (setup_.role == Role::accepted) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  if (setup_.host.empty() || !demand_name(ssl_.get(), setup_.host))
    throw std::invalid_argument("'" + setup_.host + "' is no name that a certificate could have");
}

TlsStream::~TlsStream() {
  const MutexLock lock(mutex_);
  say_goodbye();
}

// --- the way to the plain stream -----------------------------------------------------------------

const BIO_METHOD* TlsStream::bio_method() {
  static const auto kMethod = [] {
    std::unique_ptr<BIO_METHOD, tls::Freed<BIO_meth_free>> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "memsync stream"));
    tls::require(made && BIO_meth_set_read(made.get(), bio_read) == 1 &&
                     BIO_meth_set_write(made.get(), bio_write) == 1 &&
                     BIO_meth_set_ctrl(made.get(), bio_control) == 1,
                 "preparing TLS");
    return made;
  }();
  return kMethod.get();
}

int TlsStream::bio_read(BIO* bio, char* into, int bytes) noexcept {
  auto& self = *static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  try {
    const iovec room{into, static_cast<size_t>(bytes)};
    const auto moved = self.plain_->read_some({&room, 1});
    if (!moved) BIO_set_retry_read(bio);
    if (moved && *moved == 0) self.saw_end_ = true;
    return moved ? static_cast<int>(*moved) : -1;
  } catch (...) {
    self.io_failure_ = std::current_exception();
    return -1;
  }
}

int TlsStream::bio_write(BIO* bio, const char* from, int bytes) noexcept {
  auto& self = *static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  try {
    const auto record = std::as_bytes(std::span(from, static_cast<size_t>(bytes)));
    self.out_.insert(self.out_.end(), record.begin(), record.end());
    return bytes;
  } catch (...) {
    self.io_failure_ = std::current_exception();
    return -1;
  }
}

long TlsStream::bio_control(BIO* bio, int command, long, void*) noexcept {
  if (command == BIO_CTRL_EOF) return static_cast<TlsStream*>(BIO_get_data(bio))->saw_end_ ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int TlsStream::verify(int preverified, X509_STORE_CTX* chain) noexcept {
  const auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& self = *static_cast<TlsStream*>(SSL_get_app_data(ssl));
  X509* const leaf = X509_STORE_CTX_get0_cert(chain);
  if (!self.theirs_ && X509_up_ref(leaf) == 1) self.theirs_.reset(leaf);
  if (preverified != 1) return 0;
  const bool is_leaf = X509_STORE_CTX_get_error_depth(chain) == 0;
  if (!is_leaf || self.setup_.role == Role::dialled || !self.setup_.objection) return 1;
  try {
    self.objection_ = self.setup_.objection(identity_of(leaf));
  } catch (const std::exception& problem) {
    self.objection_ = problem.what();
  }
  if (self.objection_.empty()) return 1;
  X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

// --- shaking hands -------------------------------------------------------------------------------

short TlsStream::events_for(short wanted) const noexcept {
  if (is_shaken_) return wanted;
  return has_to_write_ ? POLLIN | POLLOUT : POLLIN;
}

void TlsStream::shake_hands(Deadline deadline) {
  while (true) {
    {
      const MutexLock lock(mutex_);
      if (try_handshake()) return;
    }
    wait_for(descriptor(), events_for(POLLIN), deadline, "shaking hands by TLS");
  }
}

// True when it is done.
bool TlsStream::try_handshake() {
  if (is_shaken_) return true;
  if (failure_) throw *failure_;  // NOLINT(cert-err60-cpp)
  if (Clock::now() > handshake_until_)
    fail_in_handshake(
        {ETIMEDOUT, std::generic_category(), setup_.peer + " was too slow to shake hands by TLS"});
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1 && SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) fail();
  try {
    has_to_write_ = !flush();
  } catch (const std::system_error& problem) {
    fail_to_write(problem);
  }
  if (result != 1 || has_to_write_) return false;
  if (X509* const theirs = SSL_get0_peer_certificate(ssl_.get())) identity_ = identity_of(theirs);
  is_shaken_ = true;
  return true;
}

std::optional<PeerIdentity> TlsStream::peer_identity() const {
  const MutexLock lock(mutex_);
  return identity_;
}

// --- failing -------------------------------------------------------------------------------------

void TlsStream::fail() {
  if (io_failure_) {
    try {
      std::rethrow_exception(std::exchange(io_failure_, nullptr));
    } catch (const std::system_error& problem) {
      const std::string when =
          is_shaken_ ? setup_.peer : setup_.peer + " in mid-handshake; does it speak TLS? Reading";
      std::system_error failure(problem.code(), when);
      if (!is_shaken_) fail_in_handshake(failure);
      failure_ = failure;
      throw failure;
    }
  }
  const std::system_error failure = tls::failure_of({.ssl = ssl_.get(),
                                                     .theirs = theirs_.get(),
                                                     .role = setup_.role,
                                                     .is_shaken = is_shaken_,
                                                     .peer = setup_.peer,
                                                     .host = setup_.host,
                                                     .objection = objection_});
  if (!is_shaken_) fail_in_handshake(failure);
  failure_ = failure;
  try {
    flush();  // the alert that says why
  } catch (const std::system_error&) {
    // Nobody is there to be told.
  }
  throw failure;
}

void TlsStream::fail_in_handshake(const std::system_error& failure) {
  failure_ = failure;
  try {
    if (setup_.role == Role::accepted && failure.code() == TlsError::no_tls && out_.empty())
      out_.assign(kAlertInPlain.begin(), kAlertInPlain.end());
    flush();
  } catch (const std::system_error&) {
    // Nobody is there to be told.
  }
  drain();
  if (setup_.role == Role::accepted && setup_.tell) setup_.tell(failure.what());
  throw failure;
}

// A peer that refused us has closed: its reason may have come before.
void TlsStream::fail_to_write(const std::system_error& failure) {
  ERR_clear_error();
  std::byte byte{};
  size_t seen = 0;
  const int result = SSL_peek_ex(ssl_.get(), &byte, 1, &seen);
  if (result != 1 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_SSL &&
      ERR_GET_REASON(ERR_peek_error()) >= SSL_AD_REASON_OFFSET)
    fail();
  io_failure_ = nullptr;
  throw failure;
}

// Unread bytes would make the kernel reset the connection, and the alert be lost.
void TlsStream::drain() noexcept {
  std::array<std::byte, 4096> rest;
  const iovec room{rest.data(), rest.size()};
  try {
    for (size_t done = 0; done < kStrangersRest;) {
      const auto moved = plain_->read_some({&room, 1});
      if (!moved || *moved == 0) return;
      done += *moved;
    }
  } catch (const std::system_error&) {
    // It has gone.
  }
}

// --- ending ------------------------------------------------------------------------------------

void TlsStream::say_goodbye() noexcept {
  if (has_said_goodbye_ || !is_shaken_ || failure_) return;
  has_said_goodbye_ = true;
  try {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    flush();
  } catch (const std::exception&) {
    // It has gone.
  }
  ERR_clear_error();
}

void TlsStream::shut_down() noexcept {
  {
    const MutexLock lock(mutex_);
    say_goodbye();
  }
  plain_->shut_down();
}

}  // namespace memsync
