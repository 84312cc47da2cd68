// Who is refused by TLS, by which end, and whether both ends say why.
#include <gmock/gmock.h>
#include <openssl/err.h>

#include "lib/transport/tls/tls_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this
using testing::AllOf;
using testing::HasSubstr;

std::shared_ptr<SSL_CTX> good(std::initializer_list<std::string> names) {
  return TlsCredentials::from_pem(test_pem(names))->context();
}

struct Meeting {
  Said client, server;
};

// Each sends a byte and awaits one, as the ends of every protocol here do when they greet.
Meeting meet(const End& client, const End& server) {
  auto [ours, theirs] = plain_pair();
  auto accepted = std::async(std::launch::async, [&server, plain = std::move(theirs)]() mutable {
    const auto stream = tls_over(std::move(plain), TlsStream::Role::accepted, server);
    return said_by([&] {
      std::byte byte{};
      stream->read_all({&byte, 1}, soon());
      stream->write_all({&byte, 1}, soon());
    });
  });
  const auto stream = tls_over(std::move(ours), TlsStream::Role::dialled, client);
  Meeting meeting;
  meeting.client = said_by([&] {
    std::byte byte{};
    stream->shake_hands(soon());
    stream->write_all({&byte, 1}, soon());
    stream->read_all({&byte, 1}, soon());
  });
  meeting.server = accepted.get();
  return meeting;
}

TEST(TlsRefusal, IsNoneForTwoOfOneCa) {
  const Meeting meeting = meet({good({"client"})}, {good({"server"})});
  EXPECT_EQ(meeting.client.words, "");
  EXPECT_EQ(meeting.server.words, "");
}

TEST(TlsRefusal, OfAClientOfAnotherCa) {
  const auto other = CertificateAuthority::make("others");
  TlsPem pem = other.issue("client");
  pem.ca = test_ca().certificate_pem();  // it trusts ours, which doesn't help it
  const Meeting meeting = meet({wrong_context(pem)}, {good({"server"})});
  EXPECT_EQ(meeting.server.code, TlsError::refused_here);
  EXPECT_THAT(meeting.server.words,
              HasSubstr("refused the client: its certificate ('client') is of a CA that ca.pem "
                        "here does not hold"));
  EXPECT_EQ(meeting.client.code, TlsError::refused_there);
  EXPECT_THAT(meeting.client.words, HasSubstr("the server refused this end ('client'): our "
                                              "certificate is of a CA that its ca.pem does not"));
}

TEST(TlsRefusal, OfAServerOfAnotherCa) {
  TlsPem pem = CertificateAuthority::make("others").issue("server");
  pem.ca = test_ca().certificate_pem();
  const Meeting meeting = meet({good({"client"})}, {wrong_context(pem)});
  EXPECT_EQ(meeting.client.code, TlsError::refused_here);
  EXPECT_THAT(meeting.client.words, HasSubstr("refused the server: its certificate ('server') is "
                                              "of a CA that ca.pem here does not hold"));
  EXPECT_EQ(meeting.server.code, TlsError::refused_there);
  EXPECT_THAT(meeting.server.words, HasSubstr("the client refused this end ('server')"));
}

TEST(TlsRefusal, OfAnExpiredClient) {
  const TlsPem pem =
      test_ca().issue("client", {.from = -std::chrono::hours(48), .until = -std::chrono::hours(1)});
  const Meeting meeting = meet({wrong_context(pem)}, {good({"server"})});
  EXPECT_EQ(meeting.server.code, TlsError::refused_here);
  EXPECT_THAT(meeting.server.words, HasSubstr("('client') has expired ("));
  EXPECT_EQ(meeting.client.code, TlsError::refused_there);
  EXPECT_THAT(meeting.client.words, HasSubstr("our certificate is not valid any more"));
}

TEST(TlsRefusal, OfAnExpiredServer) {
  const TlsPem pem =
      test_ca().issue("server", {.from = -std::chrono::hours(48), .until = -std::chrono::hours(1)});
  const Meeting meeting = meet({good({"client"})}, {wrong_context(pem)});
  EXPECT_THAT(meeting.client.words, HasSubstr("refused the server"));
  EXPECT_THAT(meeting.client.words, HasSubstr("has expired"));
  EXPECT_EQ(meeting.server.code, TlsError::refused_there);
}

TEST(TlsRefusal, OfARightCertificateWithTheWrongName) {
  const Meeting meeting = meet({good({"client"})}, {good({"elsewhere", "10.1.2.3"})});
  EXPECT_EQ(meeting.client.code, TlsError::refused_here);
  EXPECT_THAT(meeting.client.words, HasSubstr("its certificate ('elsewhere') is not for 'server', "
                                              "which was dialled, but for elsewhere, 10.1.2.3"));
  EXPECT_EQ(meeting.server.code, TlsError::refused_there);
  EXPECT_THAT(meeting.server.words,
              HasSubstr("the host that it dialled is none of our certificate's names"));
}

TEST(TlsRefusal, OfAnAddressThatTheCertificateDoesNotName) {
  const Meeting meeting = meet({good({"client"}), "10.9.9.9"}, {good({"server", "10.1.2.3"})});
  EXPECT_THAT(meeting.client.words, HasSubstr("is not for '10.9.9.9'"));
  EXPECT_EQ(meet({good({"client"}), "10.1.2.3"}, {good({"server", "10.1.2.3"})}).client.words, "");
}

TEST(TlsRefusal, OfACommonNameThatIsNoAlternativeName) {
  // A certificate for somebody called like a host is none for the host.
  const std::string names[] = {"server"};
  const Meeting meeting = meet({good({"client"}), "serve"}, {good({"server"})});
  EXPECT_EQ(meeting.client.code, TlsError::refused_here) << names[0];
}

TEST(TlsRefusal, OfAClientThatSpeaksTls12) {
  const Meeting meeting =
      meet({wrong_context(test_pem({"client"}), TLS1_2_VERSION)}, {good({"server"})});
  EXPECT_EQ(meeting.server.code, TlsError::no_tls);
  EXPECT_THAT(meeting.server.words, HasSubstr("the client speaks TLS 1.2 or older"));
  EXPECT_EQ(meeting.client.code, TlsError::refused_there);
  EXPECT_THAT(meeting.client.words, HasSubstr("another version of TLS"));
}

TEST(TlsRefusal, OfAServerThatSpeaksTls12) {
  const Meeting meeting =
      meet({good({"client"})}, {wrong_context(test_pem({"server"}), TLS1_2_VERSION)});
  EXPECT_EQ(meeting.client.code, TlsError::refused_there);
  EXPECT_THAT(meeting.client.words, HasSubstr("another version of TLS"));
  EXPECT_NE(meeting.server.words, "");
}

TEST(TlsRefusal, OfAClientWithoutACertificate) {
  TlsPem pem = test_pem({"client"});
  pem.cert.clear();
  const Meeting meeting = meet({wrong_context(pem)}, {good({"server"})});
  EXPECT_EQ(meeting.server.code, TlsError::refused_here);
  EXPECT_THAT(meeting.server.words, HasSubstr("refused the client: it shows no certificate"));
  EXPECT_EQ(meeting.client.code, TlsError::refused_there);
  EXPECT_THAT(meeting.client.words, HasSubstr("it wants a certificate and got none"));
}

TEST(TlsRefusal, OfARevokedClient) {
  const TlsPem client = test_pem({"client"});
  TlsPem server = test_pem({"server"});
  server.crl = test_ca().revoke(std::span(&client.cert, 1));
  const auto context = TlsCredentials::from_pem(server)->context();
  const Meeting meeting = meet({TlsCredentials::from_pem(client)->context()}, {context});
  EXPECT_EQ(meeting.server.code, TlsError::refused_here);
  EXPECT_THAT(meeting.server.words, HasSubstr("('client') is revoked"));
  EXPECT_EQ(meeting.client.code, TlsError::refused_there);
  EXPECT_THAT(meeting.client.words, HasSubstr("our certificate is revoked"));
  EXPECT_EQ(meet({good({"client"})}, {context}).client.words, "") << "another certificate's number";
}

TEST(TlsRefusal, OfAnIdentityThatThePolicyDoesNotLetIn) {
  const End server{good({"server"}), "", [](const PeerIdentity& who) {
                     return who.common_name == "mallory" ? "policy.yaml gives 'mallory' nothing"
                                                         : std::string();
                   }};
  const Meeting meeting = meet({good({"mallory"})}, server);
  EXPECT_EQ(meeting.server.code, TlsError::refused_here);
  EXPECT_THAT(meeting.server.words, HasSubstr("is right, but policy.yaml gives 'mallory' nothing"));
  EXPECT_EQ(meeting.client.code, TlsError::refused_there);
  EXPECT_THAT(meeting.client.words, HasSubstr("its policy does not let 'mallory' in"));
  EXPECT_EQ(meet({good({"alice"})}, server).client.words, "");
}

// --- those who speak something else -------------------------------------------------------------

TEST(TlsRefusal, OfPlaintextSaysSoAtBothEnds) {
  auto [ours, theirs] = plain_pair();
  const auto accepted = tls_over(std::move(theirs), TlsStream::Role::accepted, {good({"server"})});
  const auto hello = content(1, 0, 64);
  ours->write_all(hello, soon());
  std::byte byte{};
  const Said server = said_by([&] { accepted->read_all({&byte, 1}, soon()); });
  EXPECT_EQ(server.code, TlsError::no_tls);
  EXPECT_THAT(server.words, HasSubstr("the client speaks no TLS while this end does"));
  accepted->shut_down();
  std::vector<std::byte> answer(64);
  const Said client = said_by([&] { ours->read_all(answer, soon()); });
  EXPECT_THAT(client.words, HasSubstr("which speaks TLS while this end does not (--tls)"));
}

TEST(TlsRefusal, OfAPlaintextServerSaysSo) {
  auto [ours, theirs] = plain_pair();
  theirs->write_all(content(1, 0, 64), soon());  // one that greets first
  const auto dialled = tls_over(std::move(ours), TlsStream::Role::dialled, {good({"client"})});
  const Said client = said_by([&] { dialled->shake_hands(soon()); });
  EXPECT_EQ(client.code, TlsError::no_tls);
  EXPECT_THAT(client.words, HasSubstr("the server speaks no TLS"));
}

TEST(TlsRefusal, OfAServerThatHangsUpNamesTheLikelyReason) {
  auto [ours, theirs] = plain_pair();
  theirs.reset();  // what a plain server does with a ClientHello
  const auto dialled = tls_over(std::move(ours), TlsStream::Role::dialled, {good({"client"})});
  const Said client = said_by([&] { dialled->shake_hands(soon()); });
  EXPECT_EQ(client.code, std::errc::connection_reset);
  EXPECT_THAT(client.words, HasSubstr("mid-handshake; does it speak TLS?"));
}

TEST(TlsRefusal, OfAClientThatHangsUpInMidHandshake) {
  auto [ours, theirs] = plain_pair();
  const auto accepted = tls_over(std::move(theirs), TlsStream::Role::accepted, {good({"server"})});
  // The head of a ClientHello, and no more of it.
  const unsigned char begun[] = {22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3};
  ours->write_all(std::as_bytes(std::span(begun)), soon());
  std::byte byte{};
  const iovec room{&byte, 1};
  EXPECT_EQ(accepted->read_some({&room, 1}), std::nullopt);
  EXPECT_FALSE(accepted->has_pending());
  ours.reset();
  const Said server = said_by([&] { accepted->read_all({&byte, 1}, soon()); });
  EXPECT_EQ(server.code, std::errc::connection_reset);
  EXPECT_THAT(server.words, HasSubstr("the client ended the connection in mid-handshake"));
}

// In TLS 1.3 it is done before the server has looked at its certificate, and may only write.
TEST(TlsRefusal, IsFoundByAClientThatNeverReads) {
  auto [ours, theirs] = plain_pair();
  TlsPem pem = CertificateAuthority::make("others").issue("client");
  pem.ca = test_ca().certificate_pem();
  auto refused = std::async(std::launch::async, [plain = std::move(theirs)]() mutable {
    const auto stream = tls_over(std::move(plain), TlsStream::Role::accepted, {good({"server"})});
    return said_by([&] { stream->shake_hands(soon()); }).code;
  });
  const auto dialled = tls_over(std::move(ours), TlsStream::Role::dialled, {wrong_context(pem)});
  dialled->shake_hands(soon());
  ASSERT_EQ(refused.get(), TlsError::refused_here);
  const Said client = said_by([&] {
    for (int i = 0; i < 100'000; ++i) dialled->write_all(content(1, 0, 100), soon());
  });
  EXPECT_EQ(client.code, TlsError::refused_there);
  EXPECT_THAT(client.words, HasSubstr("is of a CA that its ca.pem does not hold"));
}

TEST(TlsRefusal, IsSaidAgainByEveryLaterCall) {
  auto [ours, theirs] = plain_pair();
  const auto accepted = tls_over(std::move(theirs), TlsStream::Role::accepted, {good({"server"})});
  ours->write_all(content(1, 0, 64), soon());
  std::byte byte{};
  const Said first = said_by([&] { accepted->read_all({&byte, 1}, soon()); });
  EXPECT_EQ(said_by([&] { accepted->read_all({&byte, 1}, soon()); }).words, first.words);
  EXPECT_EQ(said_by([&] { accepted->write_all({&byte, 1}, soon()); }).words, first.words);
  EXPECT_EQ(accepted->peer_identity(), std::nullopt);
}

// A client of any kind over a plain stream's descriptor.
TEST(TlsRefusal, OfEarlyDataAndOfResumption) {
  auto [ours, theirs] = plain_pair();
  const auto accepted = tls_over(std::move(theirs), TlsStream::Role::accepted, {good({"server"})});
  auto served = std::async(std::launch::async, [&] {
    std::byte byte{};
    accepted->read_all({&byte, 1}, soon());
    accepted->write_all({&byte, 1}, soon());
    return byte;
  });
  // What a client would have kept of a session that allowed early data.
  static SSL_SESSION* session = nullptr;
  session = SSL_SESSION_new();
  const unsigned char key[32] = {1};
  const unsigned char cipher_id[] = {0x13, 0x01};  // TLS_AES_128_GCM_SHA256
  const auto context = wrong_context(test_pem({"client"}));
  const tls::SslHandle ssl(SSL_new(context.get()));
  ASSERT_EQ(SSL_SESSION_set1_master_key(session, key, sizeof key), 1);
  ASSERT_EQ(SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl.get(), cipher_id)), 1);
  ASSERT_EQ(SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION), 1);
  ASSERT_EQ(SSL_SESSION_set_max_early_data(session, 1000), 1);
  SSL_set_psk_use_session_callback(ssl.get(), [](SSL*, const EVP_MD*, const unsigned char** id,
                                                 size_t* id_bytes, SSL_SESSION** use) {
    static const unsigned char kId[] = "old";
    *id = kId;
    *id_bytes = 3;
    SSL_SESSION_up_ref(session);
    *use = session;
    return 1;
  });
  const int blocking = ::fcntl(ours->descriptor(), F_GETFL) & ~O_NONBLOCK;
  ASSERT_EQ(::fcntl(ours->descriptor(), F_SETFL, blocking), 0);
  SSL_set_fd(ssl.get(), ours->descriptor());
  SSL_set_connect_state(ssl.get());
  size_t moved = 0;
  const char early = 'e', late = 'l';
  ASSERT_EQ(SSL_write_early_data(ssl.get(), &early, 1, &moved), 1);
  ASSERT_EQ(SSL_do_handshake(ssl.get()), 1);
  EXPECT_EQ(SSL_get_early_data_status(ssl.get()), SSL_EARLY_DATA_REJECTED);
  EXPECT_EQ(SSL_session_reused(ssl.get()), 0);
  ASSERT_EQ(SSL_write_ex(ssl.get(), &late, 1, &moved), 1);
  char answer = 0;
  ASSERT_EQ(SSL_read_ex(ssl.get(), &answer, 1, &moved), 1);
  EXPECT_EQ(served.get(), std::byte{'l'}) << "what came early was never seen";
  EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get0_session(ssl.get())), 0) << "a ticket was given";
  SSL_SESSION_free(session);
}

}  // namespace
}  // namespace memsync
