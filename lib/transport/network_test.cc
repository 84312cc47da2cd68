// Streams and listeners over real sockets.
#include <fcntl.h>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

#include "lib/transport/transport_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

int error_of(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

class Networks : public testing::TestWithParam<Wire> {
 protected:
  std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> connected() {
    const auto listener = loopback.network->listen("echo");
    auto ours = loopback.network->connect("source", "echo", soon());
    auto theirs = listener->accept(soon());
    return {std::move(ours), std::move(theirs)};
  }
  Loopback loopback{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Wires, Networks, testing::Values(Wire::tcp, Wire::unix_socket),
                         [](const auto& made) {
                           return std::string(made.param == Wire::tcp ? "tcp" : "unix");
                         });

TEST_P(Networks, MoveBytesAndCountThem) {
  const auto [ours, theirs] = connected();
  const auto sent = content(1, 0, 5'000'000);
  std::vector<std::byte> received(sent.size());
  std::jthread writer([&] { ours->write_all(sent, soon()); });
  theirs->read_all(received, soon());
  writer.join();
  EXPECT_EQ(received, sent);
  EXPECT_EQ(ours->bytes_written(), sent.size());
  EXPECT_EQ(theirs->bytes_read(), sent.size());
  EXPECT_EQ(loopback.network->bytes_sent(), sent.size());
  EXPECT_EQ(loopback.network->bytes_received(), sent.size());
}

TEST_P(Networks, ConnectWaitsForALateListener) {
  std::unique_ptr<Listener> listener;
  std::jthread late([&] {
    sleep_until_deadline(after(milliseconds(50)));  // the lateness itself
    listener = loopback.network->listen("late");
  });
  EXPECT_NE(loopback.network->connect("source", "late", soon()), nullptr);
}

TEST_P(Networks, ConnectGivesUpAtItsDeadlineAndNamesWhatItTried) {
  const auto started = Clock::now();
  try {
    loopback.network->connect("destination0", "nobody", after(milliseconds(60)));
    FAIL() << "connected to nobody";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ETIMEDOUT);
    EXPECT_THAT(error.what(), testing::HasSubstr("'nobody' of host 'destination0'"));
  }
  EXPECT_GE(Clock::now() - started, milliseconds(60));
  EXPECT_LE(Clock::now() - started, milliseconds(5000));
}

TEST_P(Networks, RefuseAServiceThatIsTaken) {
  const auto first = loopback.network->listen("taken");
  EXPECT_EQ(error_of([&] { loopback.network->listen("taken"); }), EADDRINUSE);
}

TEST_P(Networks, GiveAServiceAnewOnceItsListenerIsGone) {
  for (int i = 0; i < 3; ++i) EXPECT_NE(loopback.network->listen("again"), nullptr);
}

TEST_P(Networks, ClosingAListenerEndsAWaitingAccept) {
  const auto listener = loopback.network->listen("closing");
  std::jthread closer([&] { listener->close(); });
  EXPECT_EQ(listener->accept(soon()), nullptr);
  EXPECT_EQ(listener->accept(soon()), nullptr);
}

TEST_P(Networks, AcceptEndsAtItsDeadlineAndGoesOnAfterwards) {
  const auto listener = loopback.network->listen("slow");
  EXPECT_EQ(error_of([&] { listener->accept(after(milliseconds(20))); }), ETIMEDOUT);
  const auto ours = loopback.network->connect("source", "slow", soon());
  EXPECT_NE(listener->accept(soon()), nullptr);
}

TEST_P(Networks, AStreamThatIsSilentEndsAReadAtItsDeadline) {
  const auto [ours, theirs] = connected();
  std::byte one[1];
  EXPECT_EQ(error_of([&] { ours->read_all(one, after(milliseconds(20))); }), ETIMEDOUT);
}

TEST_P(Networks, AStreamThatIsNotReadEndsAWriteAtItsDeadline) {
  const auto [ours, theirs] = connected();
  const std::vector<std::byte> much(64U << 20);
  EXPECT_EQ(error_of([&] { ours->write_all(much, after(milliseconds(50))); }), ETIMEDOUT);
}

TEST_P(Networks, ShuttingDownWakesTheReader) {
  const auto [ours, theirs] = connected();
  std::jthread ender([&] { ours->shut_down(); });
  std::byte one[1];
  EXPECT_EQ(error_of([&] { ours->read_all(one, soon()); }), ECONNRESET);
  EXPECT_EQ(error_of([&] { theirs->read_all(one, soon()); }), ECONNRESET);
}

TEST(TcpNetwork, NamesAHostThatIsNotOnTheLink) {
  const auto network = make_tcp_network("source", {{"source", "127.0.0.1"}});
  EXPECT_EQ(error_of([&] { network->connect("hub", "region", soon()); }), EHOSTUNREACH);
}

TEST(UnixNetwork, TakesThePlaceOfASocketLeftByAKilledProcess) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/source.region";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  {
    const FileDescriptor dead{::socket(AF_UNIX, SOCK_STREAM, 0)};
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  const auto network = make_unix_network("source", directory.path());
  const auto listener = network->listen("region");
  EXPECT_NE(network->connect("source", "region", soon()), nullptr);
}

TEST(UnixNetwork, LeavesAFileAloneThatIsNoSocket) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/source.region";
  FileDescriptor::open(path, O_CREAT | O_WRONLY);
  const auto network = make_unix_network("source", directory.path());
  EXPECT_EQ(error_of([&] { network->listen("region"); }), EADDRINUSE);
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST(AddressNetwork, TakesAFreePortAndSaysWhich) {
  const auto network = make_address_network("127.0.0.1:0");
  const auto listener = network->listen("anything");
  const std::string bound = network->address("anyone");
  EXPECT_THAT(bound, testing::MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  const auto client = make_address_network(bound)->connect("anyone", "anything", soon());
  EXPECT_NE(client, nullptr);
  EXPECT_NE(listener->accept(soon()), nullptr);
}

TEST(AddressNetwork, ListensAtAPathAndRemovesItAfterwards) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/here";
  const auto network = make_address_network("unix:" + path);
  EXPECT_EQ(network->address(""), "unix:" + path);
  auto listener = network->listen("");
  EXPECT_NE(network->connect("", "", soon()), nullptr);
  listener.reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST(AddressNetwork, NamesWhatIsNoAddress) {
  for (const char* typed : {"", "host", ":1", "host:", "unix:", "127.0.0.1:http", "127.0.0.1:x",
                            "127.0.0.1:65536", "127.0.0.1:-1", "no.such.host.invalid:1"})
    EXPECT_THROW(make_address_network(typed), std::invalid_argument) << typed;
}

}  // namespace
}  // namespace memsync
