// What tests of TLS share: a CA, credentials, contexts that are wrong on purpose, two ends that
// meet.
#pragma once

#include <future>
#include <gtest/gtest.h>
#include <initializer_list>

#include "lib/os/file_descriptor.h"
#include "lib/transport/tls/certificate_authority.h"
#include "lib/transport/tls/tls_network.h"
#include "lib/transport/transport_test_support.h"

namespace memsync::test {

inline const CertificateAuthority& test_ca() {
  static const CertificateAuthority kAuthority = CertificateAuthority::make("tests");
  return kAuthority;
}

inline TlsPem test_pem(std::initializer_list<std::string> names) {
  return test_ca().issue(std::span(names.begin(), names.size()));
}

// Every host of a test's network in one.
inline std::shared_ptr<TlsCredentials> test_credentials() {
  static const auto kCredentials =
      TlsCredentials::from_pem(test_pem({"source", "destination0", "receiver", "localhost", "127.0.0.1"}));
  return kCredentials;
}

inline void put_inside_tls(Loopback& loopback, Wire wire = Wire::tls_tcp) {
  if (wire != Wire::tls_tcp && wire != Wire::tls_unix) return;
  loopback.network = make_tls_network(std::move(loopback.network), test_credentials());
}

// As no TlsCredentials would be: of an expired certificate, of another version, without one.
inline std::shared_ptr<SSL_CTX> wrong_context(const TlsPem& pem, int version = TLS1_3_VERSION) {
  std::shared_ptr<SSL_CTX> made(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(made.get(), version);
  SSL_CTX_set_max_proto_version(made.get(), version);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(made.get()), tls::certificate_of(pem.ca).get());
  if (pem.cert.empty()) return made;
  SSL_CTX_use_certificate(made.get(), tls::certificate_of(pem.cert).get());
  SSL_CTX_use_PrivateKey(made.get(), tls::key_of(pem.key).get());
  return made;
}

// Two connected plain streams, over TCP, so that bytes wait in a kernel as between hosts.
inline std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> plain_pair() {
  const Loopback loopback(Wire::tcp);
  const auto listener = loopback.network->listen("tls-pair");
  auto dialled = loopback.network->connect("source", "tls-pair", soon());
  return {std::move(dialled), listener->accept(soon())};
}

struct End {
  std::shared_ptr<SSL_CTX> context;
  std::string host = "server";       // dialled: whom it expects
  TlsStream::Objection objection{};  // accepted
};

inline std::unique_ptr<TlsStream> tls_over(std::unique_ptr<Stream> plain, TlsStream::Role role,
                                           const End& end) {
  const bool dialled = role == TlsStream::Role::dialled;
  return std::make_unique<TlsStream>(
      std::move(plain), TlsStream::Setup{.context = end.context,
                                         .role = role,
                                         .peer = dialled ? "the server" : "the client",
                                         .host = dialled ? end.host : "",
                                         .objection = end.objection,
                                         .tell = {},
                                         .counters = std::make_shared<ByteCounters>()});
}

// A pair that has shaken hands.
struct TlsPair {
  TlsPair()
      : TlsPair({TlsCredentials::from_pem(test_pem({"client"}))->context()},
                {TlsCredentials::from_pem(test_pem({"server"}))->context()}) {}
  TlsPair(const End& client, const End& server) {
    auto [ours, theirs] = plain_pair();
    dialled = tls_over(std::move(ours), TlsStream::Role::dialled, client);
    accepted = tls_over(std::move(theirs), TlsStream::Role::accepted, server);
    auto other = std::async(std::launch::async, [this] { accepted->shake_hands(soon()); });
    dialled->shake_hands(soon());
    other.get();
  }
  std::unique_ptr<TlsStream> dialled, accepted;
};

// What an end said; empty when nothing was wrong.
struct Said {
  std::string words{};
  std::error_code code{};
};

inline Said said_by(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::system_error& problem) {
    return {problem.what(), problem.code()};
  }
  return {};
}

}  // namespace memsync::test
