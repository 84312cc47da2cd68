// Peers that send what the protocol does not know, or agree on something else.
#include <cstring>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "lib/transport/native/wire.h"
#include "lib/transport/transport_test_support.h"

namespace memsync {
namespace {

using namespace test;    // NOLINT(google-build-using-namespace): the support is made for this
using namespace native;  // NOLINT(google-build-using-namespace)
using testing::HasSubstr;

constexpr uint64_t kSeed = 5;

std::span<const std::byte> bytes_of(const auto& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::vector<std::byte> text_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

FrameHeader frame(Kind kind, uint64_t id, uint32_t payload_bytes = 0) {
  FrameHeader header;
  header.kind = kind;
  header.id = id;
  header.payload_bytes = payload_bytes;
  return header;
}

class Hostile : public testing::Test {
 protected:
  // A server of our own, and a raw connection to it whose hello is done.
  void serve() { served = transport.serve(*loopback.network, "region", geometry, region, local); }
  std::unique_ptr<Stream> raw_client(const Hello& hello) {
    auto stream = loopback.network->connect("source", "region", soon());
    stream->write_all(bytes_of(hello), soon());
    return stream;
  }
  std::unique_ptr<Stream> greeted_client() {
    auto stream = raw_client(hello_of(geometry, region));
    Hello answer;
    stream->read_all(std::as_writable_bytes(std::span(&answer, 1)), soon());
    EXPECT_EQ(answer.refused, 0);
    return stream;
  }
  std::unique_ptr<RegionService> connect(const Geometry& with, const RegionId& id) {
    return transport.connect(*loopback.network, "source", "region", with, id, soon());
  }
  // What connecting fails with.
  std::system_error refusal(const Geometry& with, const RegionId& id) {
    try {
      connect(with, id);
    } catch (const std::system_error& error) {
      return error;
    }
    ADD_FAILURE() << "the peers agreed";
    return std::system_error(std::error_code{});
  }
  // A server that greets and then does what `script` says with the first request's header.
  void serve_script(std::function<void(Stream&, const FrameHeader&)> script) {
    listener = loopback.network->listen("region");
    fake = std::jthread([this, script = std::move(script)] {
      const auto stream = listener->accept(soon());
      if (stream == nullptr) return;
      Hello hello;
      stream->read_all(std::as_writable_bytes(std::span(&hello, 1)), soon());
      stream->write_all(bytes_of(hello), soon());
      FrameHeader header;
      stream->read_all(std::as_writable_bytes(std::span(&header, 1)), soon());
      script(*stream, header);
      std::byte rest[4096];  // until the client goes
      try {
        while (true) stream->read_all(rest, soon());
      } catch (const std::system_error&) {
      }
    });
  }
  void expect_service_lives() {
    const auto client = connect(geometry, region);
    CountingSink sink;
    std::vector<std::byte> buffer(4096);
    const ReadRequest read{4096, buffer, 1};
    client->start_reads({&read, 1}, Urgency::demand, soon(), sink);
    ASSERT_TRUE(sink.wait_for(1));
    EXPECT_EQ(buffer, content(kSeed, 4096, 4096));
  }

  Loopback loopback{Wire::tcp};
  NativeTransport transport;
  Geometry geometry{.size_bytes = 4U << 20, .chunk_bytes = 4096};
  RegionId region{.epoch = 3};
  PatternReader reader{ContentKind::random, kSeed, geometry.size_bytes};
  LocalRegion local{reader, nullptr, region, {}};
  std::unique_ptr<ServedRegion> served;
  std::unique_ptr<Listener> listener;
  std::jthread fake;
};

TEST_F(Hostile, AnotherSizeChunkIdOrEpochIsRefusedWithBothValues) {
  serve();
  Geometry other = geometry;
  other.size_bytes = 12345;
  EXPECT_EQ(refusal(other, region).code(), RegionError::refused);
  EXPECT_THAT(refusal(other, region).what(), HasSubstr("bytes here 12345, at the peer 4194304"));
  other = geometry;
  other.chunk_bytes = 65536;
  EXPECT_THAT(refusal(other, region).what(), HasSubstr("chunk bytes here 65536, at the peer 4096"));
  RegionId stranger = region;
  stranger.id[15] = std::byte{0xab};
  EXPECT_THAT(refusal(geometry, stranger).what(),
              HasSubstr("region id here 000000000000000000000000000000ab, at the peer "
                        "00000000000000000000000000000000"));
  for (const uint64_t epoch : {1U, 4U}) {
    RegionId late = region;
    late.epoch = epoch;
    EXPECT_THAT(refusal(geometry, late).what(),
                HasSubstr("epoch here " + std::to_string(epoch) + ", at the peer 3"));
  }
  expect_service_lives();
}

TEST_F(Hostile, AServerOfAnotherVersionIsRefusedWithBothValues) {
  listener = loopback.network->listen("region");
  fake = std::jthread([this] {
    const auto stream = listener->accept(soon());
    Hello hello = hello_of(geometry, region);
    hello.version = 9;
    hello.hello_bytes = 200;  // only the first sixteen bytes are common to all versions
    stream->write_all(bytes_of(hello).first(kHelloPrefix), soon());
  });
  EXPECT_THAT(refusal(geometry, region).what(),
              HasSubstr("protocol version here 1, at the peer 9"));
}

TEST_F(Hostile, AClientOfAnotherVersionIsToldOurs) {
  serve();
  Hello hello = hello_of(geometry, region);
  hello.version = 7;
  const auto stream = raw_client(hello);
  Hello answer;
  stream->read_all(std::as_writable_bytes(std::span(&answer, 1)), soon());
  EXPECT_EQ(answer.version, kVersion);
  EXPECT_EQ(answer.refused, 1);
}

TEST_F(Hostile, APeerOfAnotherProtocolIsRecognisedByItsFirstBytes) {
  listener = loopback.network->listen("region");
  std::latch seen{1};
  fake = std::jthread([this, &seen] {
    const auto stream = listener->accept(soon());
    stream->write_all(text_bytes("HTTP/1.1"), soon());
    seen.wait();  // sends no more, and stays: eight bytes are enough
  });
  const auto error = refusal(geometry, region);
  seen.count_down();
  fake.join();
  EXPECT_EQ(error.code(), RegionError::malformed);
  EXPECT_THAT(error.what(), HasSubstr("another protocol"));
}

TEST_F(Hostile, AskedWhatItServesAServerTellsAndGoesOn) {
  region.id[3] = std::byte{7};
  serve();
  const RegionOffer offer = transport.inquire(*loopback.network, "source", "region", soon());
  EXPECT_EQ(offer.geometry, geometry);
  EXPECT_EQ(offer.region, region);
  EXPECT_NE(connect(offer.geometry, offer.region), nullptr);
  expect_service_lives();
}

// What a server answers to the question, and the refusal that comes of it.
class HostileOffer : public Hostile {
 protected:
  std::system_error refusal_of(Hello answer) {
    listener = loopback.network->listen("region");
    fake = std::jthread([this, answer] {
      const auto stream = listener->accept(soon());
      Hello question;
      stream->read_all(std::as_writable_bytes(std::span(&question, 1)), soon());
      EXPECT_EQ(question.size_bytes, 0U);
      stream->write_all(bytes_of(answer), soon());
    });
    try {
      transport.inquire(*loopback.network, "source", "region", soon());
    } catch (const std::system_error& error) {
      return error;
    }
    ADD_FAILURE() << "the offer was taken";
    return std::system_error(std::error_code{});
  }
};

TEST_F(HostileOffer, OfNothingIsMalformed) {
  EXPECT_EQ(refusal_of(hello_of({.size_bytes = 0, .chunk_bytes = 4096}, region)).code(),
            RegionError::malformed);
}
TEST_F(HostileOffer, OfMoreThanAnyAddressSpaceIsMalformed) {
  EXPECT_EQ(refusal_of(hello_of({.size_bytes = ~uint64_t{0}, .chunk_bytes = 4096}, region)).code(),
            RegionError::malformed);
}
TEST_F(HostileOffer, OfOddChunksIsMalformed) {
  EXPECT_EQ(refusal_of(hello_of({.size_bytes = 4096, .chunk_bytes = 5000}, region)).code(),
            RegionError::malformed);
}
TEST_F(HostileOffer, OfAnotherVersionNamesBoth) {
  Hello answer = hello_of(geometry, region);
  answer.version = 9;
  EXPECT_THAT(refusal_of(answer).what(), HasSubstr("protocol version here 1, at the peer 9"));
}

TEST_F(Hostile, BytesThatAreNoHelloCloseTheConnectionAndNothingElse) {
  serve();
  for (const std::string_view bytes : {"GET / HTTP/1.0\r\n\r\n", "MEMSYNC!", "........"}) {
    auto stream = loopback.network->connect("source", "region", soon());
    stream->write_all(text_bytes(std::string(bytes) + "......."), soon());
    std::byte end[1];
    EXPECT_THROW(stream->read_all(end, soon()), std::system_error);
  }
  auto half = loopback.network->connect("source", "region", soon());
  half->write_all(text_bytes("MEMS"), soon());
  half.reset();
  expect_service_lives();
}

TEST_F(Hostile, FramesThatBreakTheProtocolCloseTheConnectionAndNothingElse) {
  serve();
  FrameHeader unknown_kind = frame(static_cast<Kind>(99), 1);
  FrameHeader endless_write = frame(Kind::write, 2, UINT32_MAX);
  FrameHeader endless_read = frame(Kind::read, 3, UINT32_MAX);
  FrameHeader answer = frame(Kind::done, 4, 8);
  FrameHeader unknown_flag = frame(Kind::read, 5);
  unknown_flag.flags = 0x80;
  FrameHeader cut_ranges = frame(Kind::suspend_and_collect, 6, 15);
  FrameHeader long_topic = frame(Kind::exchange, 7, 10);
  long_topic.detail = 200;
  for (const auto& header :
       {unknown_kind, endless_write, endless_read, answer, unknown_flag, cut_ranges, long_topic}) {
    const auto stream = greeted_client();
    stream->write_all(bytes_of(header), soon());
    try {
      stream->write_all(std::vector<std::byte>(64), soon());
    } catch (const std::system_error&) {  // closed already: as well
    }
    std::byte end[1];
    EXPECT_THROW(stream->read_all(end, soon()), std::system_error) << header.id;
  }
  greeted_client()->write_all(bytes_of(endless_write).first(17), soon());  // half a frame
  expect_service_lives();
}

// A peer that answers each write at once, while those after it fill the socket.
TEST_F(Hostile, AnAnswerToAWriteThatHasLeftIsTakenWhileTheOthersStillWait) {
  constexpr size_t kWrites = 4096;
  serve_script([](Stream& stream, FrameHeader header) {
    std::vector<std::byte> payload(4096);
    for (size_t i = 0; i < kWrites; ++i) {
      if (i > 0) stream.read_all(std::as_writable_bytes(std::span(&header, 1)), soon());
      stream.read_all(payload, soon());
      stream.write_all(bytes_of(frame(Kind::done, header.id)), soon());
    }
  });
  const auto client = connect(geometry, region);
  const std::vector<std::byte> page(4096);
  std::vector<WriteRequest> writes;
  for (size_t i = 0; i < kWrites; ++i) writes.push_back({i * 4096 % geometry.size_bytes, page, i});
  CountingSink sink;
  client->start_writes(writes, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(kWrites));
  for (size_t i = 0; i < kWrites; ++i) ASSERT_EQ(sink.error(i), std::error_code{}) << i;
}

TEST_F(Hostile, ReadsBeyondTheLimitsAreAnsweredWithTypedErrors) {
  serve();
  const auto stream = greeted_client();
  const auto ask = [&](uint64_t offset, uint32_t length, uint8_t flags) {
    FrameHeader header = frame(Kind::read, 8);
    header.epoch = region.epoch;
    header.offset = offset;
    header.read_bytes = length;
    header.flags = flags;
    stream->write_all(bytes_of(header), soon());
    FrameHeader reply;
    stream->read_all(std::as_writable_bytes(std::span(&reply, 1)), soon());
    std::vector<std::byte> payload(reply.payload_bytes);
    stream->read_all(payload, soon());
    EXPECT_EQ(reply.id, 8u);
    return reply.kind == Kind::failed ? native::error_of(reply) : std::error_code{};
  };
  EXPECT_EQ(ask(0, UINT32_MAX, 0), RegionError::too_large);
  EXPECT_EQ(ask(0, kBackgroundPiece + 1, kFlagBackground), RegionError::too_large);
  EXPECT_EQ(ask(geometry.size_bytes, 1, 0), RegionError::out_of_bounds);
  EXPECT_EQ(ask(UINT64_MAX, 4096, 0), RegionError::out_of_bounds);
  EXPECT_EQ(ask(geometry.size_bytes, 0, 0), std::error_code{});
  EXPECT_EQ(ask(0, kFramePayloadLimit, 0), std::error_code{});
}

// Every open request of a client whose server answers the first with `answer`.
class HostileAnswers : public Hostile {
 protected:
  std::error_code outcome(std::function<void(Stream&, const FrameHeader&)> answer) {
    serve_script(std::move(answer));
    CountingSink sink;
    std::vector<std::byte> buffer(64 * 4096);
    const auto client = connect(geometry, region);
    std::vector<ReadRequest> reads;
    for (uint64_t i = 0; i < 64; ++i)
      reads.push_back({i * 4096, std::span(buffer).subspan(i * 4096, 4096), i});
    client->start_reads(reads, Urgency::demand, soon(), sink);
    EXPECT_TRUE(sink.wait_for(64));
    EXPECT_TRUE(sink.each_once());
    const auto error = sink.error(0);
    EXPECT_EQ(sink.count_of(error), 64u);
    // Later ones fail in the same way.
    client->start_reads({reads.data(), 1}, Urgency::demand, soon(), sink);
    EXPECT_TRUE(sink.wait_for(65));
    return error;
  }
};

TEST_F(HostileAnswers, OfGarbageEndEverythingAsMalformed) {
  EXPECT_EQ(outcome([](Stream& stream, const FrameHeader&) {
              stream.write_all(content(1, 0, 1000), soon());
            }),
            RegionError::malformed);
}

TEST_F(HostileAnswers, OfLengthMinusOneEndEverythingAsMalformed) {
  EXPECT_EQ(outcome([](Stream& stream, const FrameHeader& asked) {
              stream.write_all(bytes_of(frame(Kind::done, asked.id, UINT32_MAX)), soon());
            }),
            RegionError::malformed);
}

TEST_F(HostileAnswers, OfAnotherLengthThanAskedEndEverythingAsMalformed) {
  EXPECT_EQ(outcome([](Stream& stream, const FrameHeader& asked) {
              stream.write_all(bytes_of(frame(Kind::done, asked.id, 4095)), soon());
              stream.write_all(std::vector<std::byte>(4095), soon());
            }),
            RegionError::malformed);
}

TEST_F(HostileAnswers, WithAnEndlessErrorTextEndEverythingAsMalformed) {
  EXPECT_EQ(outcome([](Stream& stream, const FrameHeader& asked) {
              FrameHeader failed = failure_header(asked.id, posix(EIO));
              failed.payload_bytes = kErrorTextLimit + 1;
              stream.write_all(bytes_of(failed), soon());
            }),
            RegionError::malformed);
}

TEST_F(HostileAnswers, ThatEndInHalfAFrameAreALostPeer) {
  EXPECT_EQ(outcome([](Stream& stream, const FrameHeader& asked) {
              stream.write_all(bytes_of(frame(Kind::done, asked.id, 4096)), soon());
              stream.write_all(std::vector<std::byte>(100), soon());
              stream.shut_down();
            }),
            posix(ECONNRESET));
}

}  // namespace
}  // namespace memsync
