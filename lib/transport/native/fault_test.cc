// Peers that are late, silent or gone, and clients that give up.
#include <algorithm>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "lib/transport/native/wire.h"
#include "lib/transport/transport_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

constexpr uint64_t kSeed = 11;

// Seeded bytes behind a gate: each read waits until it is opened. Counts what was read.
class GatedReader : public Reader {
 public:
  explicit GatedReader(uint64_t size) : content_(ContentKind::random, kSeed, size) {}
  void read_at(std::span<std::byte> into, uint64_t offset) override {
    entered_.fetch_add(1);
    entered_.notify_all();
    gate_.wait();
    content_.read_at(into, offset);
    bytes_read_ += into.size();
  }
  uint64_t size_bytes() const override { return content_.size_bytes(); }
  void open() {
    if (!gate_.try_wait()) gate_.count_down();
  }
  void wait_until_entered(int count) {
    for (int now = entered_; now < count; now = entered_) entered_.wait(now);
  }
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  PatternReader content_;
  std::latch gate_{1};
  std::atomic<int> entered_{0};
  std::atomic<uint64_t> bytes_read_{0};
};

class Faults : public testing::TestWithParam<Wire> {
 protected:
  ~Faults() override { reader.open(); }
  void serve() {
    served = transport.serve(*loopback.network, "region", geometry, region, local);
    client = transport.connect(*loopback.network, "source", "region", geometry, region, soon());
  }
  // The far end of `client` is in the hands of the test.
  std::unique_ptr<Stream> serve_by_hand(const NativeTransport& with) {
    const auto listener = loopback.network->listen("region");
    std::unique_ptr<Stream> stream;
    std::jthread greeter([&] {
      stream = listener->accept(soon());
      native::Hello hello;
      stream->read_all(std::as_writable_bytes(std::span(&hello, 1)), soon());
      stream->write_all(std::as_bytes(std::span(&hello, 1)), soon());
    });
    client = with.connect(*loopback.network, "source", "region", geometry, region, soon());
    greeter.join();
    return stream;
  }
  std::vector<ReadRequest> reads(size_t count, uint64_t first_tag = 0) {
    buffer.resize((first_tag + count) * 4096);
    std::vector<ReadRequest> made;
    for (uint64_t tag = first_tag; tag < first_tag + count; ++tag)
      made.push_back({tag * 4096, std::span(buffer).subspan(tag * 4096, 4096), tag});
    return made;
  }

  Loopback loopback{GetParam()};
  NativeTransport transport;
  Geometry geometry{.size_bytes = 64U << 20, .chunk_bytes = 4096};
  RegionId region;
  GatedReader reader{geometry.size_bytes};
  LocalRegion local{reader, nullptr, region, {}};
  std::vector<std::byte> buffer;
  std::unique_ptr<ServedRegion> served;
  std::unique_ptr<RegionService> client;
};

INSTANTIATE_TEST_SUITE_P(Wires, Faults, testing::Values(Wire::tcp, Wire::unix_socket),
                         [](const auto& made) {
                           return std::string(made.param == Wire::tcp ? "tcp" : "unix");
                         });

TEST_P(Faults, DemandOvertakesBackgroundThatWaitsAtEitherEnd) {
  serve();
  CountingSink sink;
  const auto background = reads(2000);
  client->start_reads(background, Urgency::background, soon(), sink);
  reader.wait_until_entered(4);  // every reading thread is in a background read
  std::vector<std::byte> wanted(4096);
  const ReadRequest demand{0, wanted, 9999};
  client->start_reads({&demand, 1}, Urgency::demand, soon(), sink);
  client->start_tracking(0, soon());  // answered in order: the demand read has arrived
  reader.open();
  ASSERT_TRUE(sink.wait_for(2001));
  const auto order = sink.order();
  const auto place = std::find(order.begin(), order.end(), 9999) - order.begin();
  EXPECT_LE(place, 8) << "four were being read, and four more may finish meanwhile";
}

TEST_P(Faults, ADeadlineThatPassesEndsTheReadAndTheLateAnswerTouchesNothing) {
  serve();
  CountingSink sink;
  const auto late = reads(100);
  const auto started = Clock::now();
  client->start_reads(late, Urgency::demand, after(milliseconds(50)), sink);
  ASSERT_TRUE(sink.wait_for(100));
  EXPECT_GE(Clock::now() - started, milliseconds(50));
  EXPECT_EQ(sink.count_of(posix(ETIMEDOUT)), 100u);
  std::ranges::fill(buffer, std::byte{0x5a});  // ours again
  reader.open();
  std::vector<std::byte> fresh(4096);
  const ReadRequest next{8192, fresh, 500};
  client->start_reads({&next, 1}, Urgency::background, soon(), sink);
  ASSERT_TRUE(sink.wait_for(101));  // behind the late answers on the same stream
  EXPECT_EQ(fresh, content(kSeed, 8192, 4096));
  EXPECT_TRUE(std::ranges::all_of(buffer, [](std::byte b) { return b == std::byte{0x5a}; }));
  EXPECT_TRUE(sink.each_once());
}

TEST_P(Faults, DestroyingAClientCancelsThousandsOfOpenRequestsOnceEach) {
  serve();
  CountingSink sink;
  const auto open = reads(5000);
  client->start_reads(std::span(open).first(2500), Urgency::demand, soon(), sink);
  client->start_reads(std::span(open).subspan(2500), Urgency::background, soon(), sink);
  client.reset();
  EXPECT_EQ(sink.count(), 5000u);
  EXPECT_EQ(sink.count_of(posix(ECANCELED)), 5000u);
  EXPECT_TRUE(sink.each_once());
}

TEST_P(Faults, ALostPeerEndsEverythingWithConnectionReset) {
  auto peer = serve_by_hand(transport);
  CountingSink sink;
  const auto open = reads(1000);
  client->start_reads(open, Urgency::background, soon(), sink);
  peer.reset();
  ASSERT_TRUE(sink.wait_for(1000));
  EXPECT_EQ(sink.count_of(posix(ECONNRESET)), 1000u);
  EXPECT_TRUE(sink.each_once());
}

TEST_P(Faults, APeerThatVanishedIsNoticedThoughItsSocketStays) {
  const NativeTransport hasty({.ping_interval = milliseconds(50), .dead_after = milliseconds(250)});
  const auto peer = serve_by_hand(hasty);  // never reads, never answers
  CountingSink sink;
  const auto open = reads(100);
  const auto started = Clock::now();
  client->start_reads(open, Urgency::demand, Deadline::max(), sink);
  ASSERT_TRUE(sink.wait_for(100));
  EXPECT_GE(Clock::now() - started, milliseconds(200));
  EXPECT_EQ(sink.count_of(posix(ETIMEDOUT)), 100u);
  EXPECT_THROW(client->release(0, soon()), std::system_error);
}

TEST_P(Faults, AServerThatIsMerelySlowIsNotTakenForDead) {
  const NativeTransport hasty({.ping_interval = milliseconds(20), .dead_after = milliseconds(200)});
  served = hasty.serve(*loopback.network, "region", geometry, region, local);
  client = hasty.connect(*loopback.network, "source", "region", geometry, region, soon());
  CountingSink sink;
  const auto slow = reads(1);
  client->start_reads(slow, Urgency::demand, soon(), sink);
  EXPECT_FALSE(sink.wait_for(1, after(milliseconds(900))));  // both ends' limits pass
  reader.open();
  ASSERT_TRUE(sink.wait_for(1));
  EXPECT_FALSE(sink.error(0));
}

TEST_P(Faults, AWriteGivenUpHalfSentLeavesTheStreamInStepAndTheMemoryFree) {
  auto peer = serve_by_hand(transport);
  CountingSink sink;
  auto bytes = content(3, 0, 900'000);
  const auto expected = bytes;
  std::vector<WriteRequest> writes(40, {0, bytes, 0});  // more than the socket's buffers take
  for (size_t i = 0; i < writes.size(); ++i) writes[i].tag = i;
  client->start_writes(writes, Urgency::demand, after(milliseconds(100)), sink);
  ASSERT_TRUE(sink.wait_for(writes.size()));
  std::ranges::fill(bytes, std::byte{0});  // ours again
  client->start_writes({writes.data(), 1}, Urgency::demand, soon(), sink);
  bool last = false;
  while (!last) {
    native::FrameHeader header;
    peer->read_all(std::as_writable_bytes(std::span(&header, 1)), soon());
    if (header.kind == native::Kind::ping) continue;
    ASSERT_EQ(header.kind, native::Kind::write);
    ASSERT_EQ(header.payload_bytes, bytes.size());
    std::vector<std::byte> payload(header.payload_bytes);
    peer->read_all(payload, soon());
    last = payload.front() == std::byte{0} && payload == bytes;
    EXPECT_TRUE(last || payload == expected);
  }
  client.reset();  // cancels the last write while its sink is there
}

TEST_P(Faults, APeerThatNeverReadsCostsBoundedMemory) {
  reader.open();
  serve();
  auto peer = loopback.network->connect("source", "region", soon());
  const native::Hello hello = native::hello_of(geometry, region);
  peer->write_all(std::as_bytes(std::span(&hello, 1)), soon());
  native::FrameHeader header;
  header.kind = native::Kind::read;
  header.read_bytes = native::kFramePayloadLimit;
  std::vector<native::FrameHeader> flood(4096, header);
  try {
    for (int i = 0; i < 100; ++i)
      peer->write_all(std::as_bytes(std::span(flood)), after(milliseconds(300)));
    FAIL() << "the server took 16 MB of requests without an answer being read";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ETIMEDOUT);
  }
  EXPECT_LE(reader.bytes_read(), 40U << 20);  // 16 MiB held, the rest in the socket's buffers
  CountingSink sink;
  const auto other = reads(10);
  client->start_reads(other, Urgency::demand, soon(), sink);
  EXPECT_TRUE(sink.wait_for(10)) << "another client must not suffer";
}

TEST_P(Faults, AServerThatEndsWaitsForTheServiceAndResetsItsClients) {
  serve();
  CountingSink sink;
  const auto open = reads(100);
  client->start_reads(open, Urgency::demand, soon(), sink);
  reader.wait_until_entered(4);
  std::jthread opener([this] { reader.open(); });
  served.reset();
  ASSERT_TRUE(sink.wait_for(100));
  EXPECT_TRUE(sink.each_once());
}

}  // namespace
}  // namespace memsync
