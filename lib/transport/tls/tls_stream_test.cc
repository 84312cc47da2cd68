// Bytes through TLS: the same ones, in full records, with readiness that is told.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>

#include "lib/transport/tls/tls_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this
using testing::ElementsAre;
using testing::HasSubstr;

bool is_readable(const Stream& stream, int patience_ms) {
  pollfd wanted{stream.descriptor(), POLLIN, 0};
  return ::poll(&wanted, 1, patience_ms) == 1;
}

// Passes bytes on, a few at a time and not every time, and counts the calls that wrote.
class TrickyStream : public Stream {
 public:
  TrickyStream(std::unique_ptr<Stream> next, uint64_t seed)
      : next_(std::move(next)), draws_(seed) {}
  std::optional<size_t> read_some(std::span<const iovec> into) override {
    iovec part = into.front();
    part.iov_len = std::min<size_t>(part.iov_len, 1 + draws_.below(20'000));
    return next_->read_some({&part, 1});
  }
  std::optional<size_t> write_some(std::span<const iovec> from) override {
    if (draws_.below(3) == 0) return std::nullopt;
    iovec part = from.front();
    part.iov_len = std::min<size_t>(part.iov_len, 1 + draws_.below(20'000));
    return next_->write_some({&part, 1});
  }
  int descriptor() const noexcept override { return next_->descriptor(); }
  void shut_down() noexcept override { next_->shut_down(); }
  uint64_t bytes_read() const noexcept override { return next_->bytes_read(); }
  uint64_t bytes_written() const noexcept override { return next_->bytes_written(); }

 private:
  std::unique_ptr<Stream> next_;
  SeededDraws draws_;
};

TEST(TlsStream, MovesBytesBothWaysAtOnceAndCountsThePayload) {
  const TlsPair pair;
  const auto there = content(1, 0, 5'000'001), back = content(2, 0, 3'000'003);
  std::vector<std::byte> got_there(there.size()), got_back(back.size());
  {
    std::jthread one([&] { pair.dialled->write_all(there, soon()); });
    std::jthread two([&] { pair.accepted->write_all(back, soon()); });
    std::jthread three([&] { pair.dialled->read_all(got_back, soon()); });
    pair.accepted->read_all(got_there, soon());
  }
  EXPECT_EQ(got_there, there);
  EXPECT_EQ(got_back, back);
  EXPECT_EQ(pair.dialled->bytes_written(), there.size());
  EXPECT_EQ(pair.accepted->bytes_read(), there.size());
  EXPECT_EQ(pair.dialled->bytes_read(), back.size());
}

TEST(TlsStream, KnowsThePeerByItsCertificateOnceTheyHaveShakenHands) {
  auto [ours, theirs] = plain_pair();
  EXPECT_EQ(ours->peer_identity(), std::nullopt);
  const TlsPair pair(
      {TlsCredentials::from_pem(test_pem({"alice", "alice.example", "10.0.0.7"}))->context()},
      {TlsCredentials::from_pem(test_pem({"server"}))->context()});
  const auto who = pair.accepted->peer_identity();
  ASSERT_TRUE(who);
  EXPECT_EQ(who->common_name, "alice");
  EXPECT_THAT(who->names, ElementsAre("alice", "alice.example", "10.0.0.7"));
  EXPECT_EQ(pair.dialled->peer_identity()->common_name, "server");
}

TEST(TlsStream, TellsWhatIsPendingAlthoughTheDescriptorIsNotReadable) {
  const TlsPair pair;
  EXPECT_FALSE(pair.accepted->has_pending());
  pair.dialled->write_all(content(1, 0, 10'000), soon());
  std::byte byte{};
  pair.accepted->read_all({&byte, 1}, soon());
  EXPECT_TRUE(pair.accepted->has_pending());
  EXPECT_FALSE(is_readable(*pair.accepted, 0)) << "then the test shows nothing";
  std::vector<std::byte> rest(20'000);
  const iovec room{rest.data(), rest.size()};
  EXPECT_EQ(pair.accepted->read_some({&room, 1}), 9'999u);
  EXPECT_FALSE(pair.accepted->has_pending());
  EXPECT_EQ(pair.accepted->read_some({&room, 1}), std::nullopt);
}

TEST(TlsStream, FillsTheRoomAcrossRecords) {
  const TlsPair pair;
  const auto sent = content(1, 0, 100'000);
  pair.dialled->write_all(sent, soon());
  std::vector<std::byte> got(sent.size());
  std::array<iovec, 3> room{iovec{got.data(), 7}, iovec{got.data() + 7, 40'000},
                            iovec{got.data() + 40'007, got.size() - 40'007}};
  size_t done = 0;
  while (done < got.size()) {
    ASSERT_TRUE(pair.accepted->has_pending() || is_readable(*pair.accepted, 20'000));
    std::array<iovec, 1> rest{iovec{got.data() + done, got.size() - done}};
    done += pair.accepted->read_some(done == 0 ? std::span<const iovec>(room) : rest).value_or(0);
  }
  EXPECT_EQ(got, sent);
}

// Every way of cutting what OpenSSL hands to the stream below, and of coming back with the rest.
TEST(TlsStream, GoesOnWhereItStoppedHoweverTheStreamBelowIsCut) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    auto [ours, theirs] = plain_pair();
    const auto dialled =
        tls_over(std::make_unique<TrickyStream>(std::move(ours), seed), TlsStream::Role::dialled,
                 {TlsCredentials::from_pem(test_pem({"client"}))->context()});
    const auto accepted = tls_over(std::make_unique<TrickyStream>(std::move(theirs), seed + 100),
                                   TlsStream::Role::accepted,
                                   {TlsCredentials::from_pem(test_pem({"server"}))->context()});
    const auto sent = content(seed, 0, 700'000);
    std::vector<std::byte> got(sent.size());
    std::jthread reader([&] { accepted->read_all(got, soon()); });
    dialled->shake_hands(soon());
    SeededDraws draws(seed);
    for (size_t done = 0; done < sent.size();) {
      // Headers and payloads, of which the stream sees a part now and more of them later.
      std::vector<iovec> pieces;
      for (size_t at = done; at < sent.size() && pieces.size() < 9;) {
        const size_t most = draws.below(2) == 0 ? 60 : 40'000;
        const size_t bytes = std::min<size_t>(draws.below(most), sent.size() - at);
        pieces.push_back({const_cast<std::byte*>(sent.data() + at), bytes});
        at += bytes;
      }
      size_t all = 0;
      for (const iovec& piece : pieces) all += piece.iov_len;
      // At least as much as the last time, as everybody does who has bytes to send.
      pieces.push_back(
          {const_cast<std::byte*>(sent.data() + done + all), sent.size() - done - all});
      done += dialled->write_some(pieces).value_or(0);
    }
    reader.join();
    ASSERT_EQ(got, sent);
    ASSERT_EQ(dialled->bytes_written(), sent.size());
  }
}

TEST(TlsStream, GathersHeadersAndPayloadsIntoFullRecords) {
  const TlsPair pair;
  const auto header = content(1, 0, 40), payload = content(2, 0, 4096);
  std::vector<iovec> pieces;
  for (int i = 0; i < 31; ++i) {
    pieces.push_back({const_cast<std::byte*>(header.data()), header.size()});
    pieces.push_back({const_cast<std::byte*>(payload.data()), payload.size()});
  }
  const size_t bytes = 31 * (header.size() + payload.size());
  ASSERT_EQ(pair.dialled->write_some(pieces), bytes);
  std::vector<std::byte> wire(2 * bytes);
  ASSERT_TRUE(is_readable(*pair.accepted, 20'000));
  size_t there = 0;  // loopback brings it in one piece or a few
  const size_t records = (bytes + 16383) / 16384;
  while (there < bytes + records * 22)
    if (const ssize_t got =
            ::recv(pair.accepted->descriptor(), wire.data() + there, wire.size() - there, 0);
        got > 0)
      there += static_cast<size_t>(got);
  EXPECT_EQ(there, bytes + records * 22) << "5 of a header, 1 of the type, 16 of the tag each";
}

TEST(TlsStream, AnEndThatIsSaidIsAnEnd) {
  TlsPair pair;
  pair.dialled->write_all(content(1, 0, 100), soon());
  pair.dialled.reset();
  std::vector<std::byte> got(200);
  EXPECT_EQ(pair.accepted->read_part(got, soon()), 100u);
  EXPECT_EQ(pair.accepted->read_part(got, soon()), 0u);
  EXPECT_EQ(pair.accepted->read_part(got, soon()), 0u);
}

TEST(TlsStream, AnEndThatAnybodyCouldHaveMadeIsABreak) {
  const TlsPair pair;
  pair.dialled->write_all(content(1, 0, 100), soon());
  ::shutdown(pair.dialled->descriptor(), SHUT_WR);
  std::vector<std::byte> got(200);
  EXPECT_EQ(pair.accepted->read_part(got, soon()), 100u) << "what came before counts";
  const Said said = said_by([&] { pair.accepted->read_part(got, soon()); });
  EXPECT_EQ(said.code, std::errc::connection_reset);
  EXPECT_THAT(said.words, HasSubstr("the client ended the connection without ending TLS"));
}

TEST(TlsStream, AByteThatWasChangedOnTheWayBreaksIt) {
  auto [ours, theirs] = plain_pair();
  const int wire = ours->descriptor();
  const auto dialled = tls_over(std::move(ours), TlsStream::Role::dialled,
                                {TlsCredentials::from_pem(test_pem({"client"}))->context()});
  const auto accepted = tls_over(std::move(theirs), TlsStream::Role::accepted,
                                 {TlsCredentials::from_pem(test_pem({"server"}))->context()});
  {
    std::jthread other([&] { accepted->shake_hands(soon()); });
    dialled->shake_hands(soon());
  }
  const unsigned char forged[27] = {23, 3, 3, 0, 22};
  ASSERT_EQ(::send(wire, forged, sizeof forged, 0), 27);
  std::byte byte{};
  const Said said = said_by([&] { accepted->read_all({&byte, 1}, soon()); });
  EXPECT_EQ(said.code, std::errc::connection_aborted);
  EXPECT_THAT(said.words, HasSubstr("the TLS connection with the client broke"));
}

TEST(TlsStream, ShuttingDownWakesBothReaders) {
  const TlsPair pair;
  std::jthread ender([&] { pair.dialled->shut_down(); });
  std::byte byte{};
  EXPECT_EQ(said_by([&] { pair.accepted->read_all({&byte, 1}, soon()); }).code,
            std::errc::connection_reset);
  EXPECT_EQ(said_by([&] { pair.dialled->read_all({&byte, 1}, soon()); }).code,
            std::errc::connection_reset);
}

TEST(TlsStream, AWriterThatIsNotReadEndsAtItsDeadline) {
  const TlsPair pair;
  const std::vector<std::byte> much(64U << 20);
  EXPECT_EQ(said_by([&] { pair.dialled->write_all(much, after(milliseconds(50))); }).code,
            std::errc::timed_out);
}

TEST(TlsStream, AnAcceptedOneThatWritesFirstWaitsForTheHandshake) {
  auto [ours, theirs] = plain_pair();
  const auto accepted = tls_over(std::move(theirs), TlsStream::Role::accepted,
                                 {TlsCredentials::from_pem(test_pem({"server"}))->context()});
  std::jthread writer([&] { accepted->write_all(content(1, 0, 64), soon()); });
  const auto dialled = tls_over(std::move(ours), TlsStream::Role::dialled,
                                {TlsCredentials::from_pem(test_pem({"client"}))->context()});
  std::vector<std::byte> got(64);
  dialled->read_all(got, soon());
  EXPECT_EQ(got, content(1, 0, 64));
}

TEST(TlsStream, PrefersTheCipherThatThisCpuHasInstructionsFor) {
  const auto context = TlsCredentials::from_pem(test_pem({"client"}))->context();
  const std::string first =
      SSL_CIPHER_get_name(sk_SSL_CIPHER_value(SSL_CTX_get_ciphers(context.get()), 0));
#if defined(__x86_64__)
  EXPECT_EQ(first, __builtin_cpu_supports("aes") ? "TLS_AES_128_GCM_SHA256"
                                                 : "TLS_CHACHA20_POLY1305_SHA256");
#else
  EXPECT_NE(first, "");
#endif
}

}  // namespace
}  // namespace memsync
