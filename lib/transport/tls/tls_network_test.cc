// Networks inside TLS: strangers, names, counters, and a native server behind one.
#include <gmock/gmock.h>
#include <thread>

#include "lib/transport/tls/tls_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this
using testing::ElementsAre;
using testing::HasSubstr;

// A network of one host, seen from inside TLS and from outside it.
class TlsNetworks : public testing::Test {
 protected:
  TlsNetworks() : plain(make_plain()), outside(make_plain()) {}
  static std::unique_ptr<Network> make_plain() {
    return make_tcp_network(
        "source", {{"source", own_loopback_address()}, {"destination0", own_loopback_address()}});
  }
  std::unique_ptr<Network> inside(std::shared_ptr<TlsCredentials> credentials,
                                  TlsPolicy policy = {}) {
    return make_tls_network(make_plain(), std::move(credentials), std::move(policy));
  }
  std::unique_ptr<Network> plain, outside;
};

// A region behind TLS.
class TlsServer : public TlsNetworks {
 protected:
  void serve(TlsPolicy policy = {}, const NativeOptions& options = {}) {
    network = inside(test_credentials(), std::move(policy));
    local = std::make_unique<LocalRegion>(store, nullptr, region, LocalRegion::Hooks{});
    served = NativeTransport(options).serve(*network, "region", geometry, region, *local);
  }
  Said ask(Network& from) {
    return said_by(
        [&] { native_transport().connect(from, "source", "region", geometry, region, soon()); });
  }

  Geometry geometry{.size_bytes = 1 << 20, .chunk_bytes = 4096};
  RegionId region;
  MemoryBackend store{1 << 20};
  std::unique_ptr<Network> network;
  std::unique_ptr<LocalRegion> local;
  std::unique_ptr<ServedRegion> served;
};

TEST_F(TlsServer, AnswersWhileStrangersSayNothingOrHalfOfSomething) {
  serve();
  std::vector<std::unique_ptr<Stream>> strangers;
  const unsigned char begun[] = {22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3};
  for (int i = 0; i < 50; ++i) {
    strangers.push_back(outside->connect("source", "region", soon()));
    if (i % 2 == 0) strangers.back()->write_all(std::as_bytes(std::span(begun)), soon());
  }
  const auto client = inside(test_credentials());
  EXPECT_EQ(ask(*client).words, "");
}

TEST_F(TlsServer, ClosesAStrangerThatNeverFinishesTheHandshake) {
  serve({}, {.ping_interval = milliseconds(20), .dead_after = milliseconds(100)});
  const auto stranger = outside->connect("source", "region", soon());
  const unsigned char begun[] = {22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3};
  stranger->write_all(std::as_bytes(std::span(begun)), soon());
  std::byte byte{};
  EXPECT_EQ(said_by([&] { stranger->read_all({&byte, 1}, soon()); }).code,
            std::errc::connection_reset);
}

TEST_F(TlsServer, TellsWhomItRefusedAndWhy) {
  Mutex mutex;
  std::vector<std::string> told;
  serve({.tell = [&](const std::string& words) {
    const MutexLock lock(mutex);
    told.push_back(words);
  }});
  EXPECT_THAT(ask(*outside).words, HasSubstr("speaks TLS while this end does not (--tls)"));
  TlsPem pem = CertificateAuthority::make("others").issue("mallory");
  const auto stranger = inside(TlsCredentials::from_pem(pem));
  EXPECT_THAT(ask(*stranger).words, HasSubstr("refused 'region' of host 'source'"));
  served.reset();
  const MutexLock lock(mutex);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_THAT(told[0], HasSubstr("the peer at 127."));
  EXPECT_THAT(told[0], HasSubstr("speaks no TLS"));
  EXPECT_THAT(told[1], HasSubstr("refused this end"));
}

TEST_F(TlsServer, DoesNothingForAnIdentityThatMayNotCome) {
  serve({.objection = [](const PeerIdentity& who) {
    return who.common_name == "destination0" ? std::string() : "only destination0 may read";
  }});
  const auto wrong = inside(TlsCredentials::from_pem(test_pem({"destination1"})));
  EXPECT_THAT(ask(*wrong).words, HasSubstr("its policy does not let 'destination1' in"));
  const auto right = inside(TlsCredentials::from_pem(test_pem({"destination0"})));
  EXPECT_EQ(ask(*right).words, "");
}

TEST_F(TlsServer, IsNotMistakenByAClientForOneThatSpeaksPlain) {
  local = std::make_unique<LocalRegion>(store, nullptr, region, LocalRegion::Hooks{});
  served = native_transport().serve(*plain, "region", geometry, region, *local);
  const auto client = inside(test_credentials());
  EXPECT_THAT(ask(*client).words, HasSubstr("in mid-handshake; does it speak TLS?"));
}

TEST_F(TlsNetworks, CountPayload) {
  const auto server = inside(test_credentials()), client = inside(test_credentials());
  const auto listener = server->listen("count");
  std::jthread sink([&] {
    const auto stream = listener->accept(soon());
    std::vector<std::byte> got(100'000);
    stream->read_all(got, soon());
    stream->write_all(std::span(got).first(10), soon());
  });
  const auto stream = client->connect("source", "count", soon());
  stream->write_all(content(1, 0, 100'000), soon());
  std::vector<std::byte> answer(10);
  stream->read_all(answer, soon());
  sink.join();
  EXPECT_EQ(client->bytes_sent(), 100'000u);
  EXPECT_EQ(client->bytes_received(), 10u);
  EXPECT_EQ(server->bytes_received(), 100'000u);
  EXPECT_EQ(server->bytes_sent(), 10u);
}

TEST_F(TlsNetworks, WantTheNameThatIsDialledOrTheOneThatIsAskedFor) {
  const auto server = inside(TlsCredentials::from_pem(test_pem({"hub.example"})));
  const auto listener = server->listen("name");
  std::jthread serving([&] {
    while (const auto stream = listener->accept(soon()))
      said_by([&] { static_cast<TlsStream&>(*stream).shake_hands(soon()); });
  });
  const auto by_host = inside(test_credentials());
  EXPECT_EQ(said_by([&] { by_host->connect("source", "name", soon()); }).code,
            TlsError::refused_here);
  const auto by_name = inside(test_credentials(), {.peer_name = "hub.example"});
  EXPECT_EQ(said_by([&] { by_name->connect("source", "name", soon()); }).words, "");
  listener->close();
}

TEST_F(TlsNetworks, AcceptEndsWhenTheListenerIsClosed) {
  const auto server = inside(test_credentials());
  const auto listener = server->listen("closing");
  std::jthread closer([&] { listener->close(); });
  EXPECT_EQ(listener->accept(soon()), nullptr);
}

TEST_F(TlsNetworks, ConnectEndsAtItsDeadlineWhereNobodyShakesHands) {
  const auto listener = plain->listen("silent");
  const auto client = inside(test_credentials());
  EXPECT_EQ(said_by([&] { client->connect("source", "silent", after(milliseconds(50))); }).code,
            std::errc::timed_out);
}

TEST(HostInAddress, IsWhatACertificateNames) {
  EXPECT_EQ(host_in_address("192.0.2.1:7000"), "192.0.2.1");
  EXPECT_EQ(host_in_address("[2001:db8::1]:7000"), "2001:db8::1");
  EXPECT_EQ(host_in_address("files.example:7000"), "files.example");
  EXPECT_EQ(host_in_address("unix:/run/a:b"), "localhost");
}

}  // namespace
}  // namespace memsync
