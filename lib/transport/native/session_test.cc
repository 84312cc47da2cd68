// Both ends of the native protocol over real sockets: right bytes, ownership, many at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/transport/tls/tls_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

constexpr uint64_t kSeed = 20231;

// A region of seeded bytes, served over one wire; in memory (borrowed) or computed (read).
class Session : public testing::TestWithParam<std::tuple<Wire, const char*>> {
 protected:
  Session() {
    put_inside_tls(loopback, std::get<0>(GetParam()));
    region.id[3] = std::byte{7};
    region.epoch = 4;
    if (std::string(std::get<1>(GetParam())) == "memory") {
      auto store = std::make_unique<MemoryBackend>(geometry.size_bytes);
      fill_content(ContentKind::random, kSeed, store->mapping(), 0);
      writable = store.get();
      reader = std::move(store);
    } else {
      reader = std::make_unique<PatternReader>(ContentKind::random, kSeed, geometry.size_bytes);
    }
  }
  void serve(LocalRegion::Hooks hooks = {}) {
    local = std::make_unique<LocalRegion>(*reader, writable, region, std::move(hooks));
    served = transport.serve(*loopback.network, "region", geometry, region, *local);
    client = connect();
  }
  std::unique_ptr<RegionService> connect() {
    return transport.connect(*loopback.network, "source", "region", geometry, region, soon());
  }

  Loopback loopback{std::get<0>(GetParam())};
  NativeTransport transport;
  Geometry geometry{.size_bytes = (8U << 20) + 4321, .chunk_bytes = 4096};
  RegionId region;
  std::unique_ptr<Reader> reader;
  Backend* writable = nullptr;
  std::unique_ptr<LocalRegion> local;
  std::unique_ptr<ServedRegion> served;
  std::unique_ptr<RegionService> client;
};

INSTANTIATE_TEST_SUITE_P(Wires, Session,
                         testing::Combine(testing::Values(Wire::tcp, Wire::unix_socket,
                                                          Wire::tls_tcp, Wire::tls_unix),
                                          testing::Values("memory", "computed")),
                         [](const auto& made) {
                           return name_of(std::get<0>(made.param)) + "_" + std::get<1>(made.param);
                         });

TEST_P(Session, AnswersTenThousandRandomReadsWithTheRightBytes) {
  serve();
  const uint64_t seed = 77;
  RecordProperty("seed", static_cast<int>(seed));
  SeededDraws draws(seed);
  constexpr size_t kReads = 10'000;
  CountingSink sink;
  std::vector<std::vector<std::byte>> buffers(kReads);
  std::vector<ReadRequest> demand, background;
  for (size_t i = 0; i < kReads; ++i) {
    const uint64_t limit = i % 500 == 0 ? 3'000'000 : i % 10 == 0 ? 100'000 : 5000;
    buffers[i].resize(draws.below(limit));
    const uint64_t offset = draws.below(geometry.size_bytes - buffers[i].size() + 1);
    (draws.below(2) == 0 ? demand : background).push_back({offset, buffers[i], i});
  }
  client->start_reads(demand, Urgency::demand, soon(), sink);
  client->start_reads(background, Urgency::background, soon(), sink);
  ASSERT_TRUE(sink.wait_for(kReads)) << sink.count();
  EXPECT_EQ(sink.count_of({}), kReads);
  EXPECT_TRUE(sink.each_once());
  for (const auto* requests : {&demand, &background})
    for (const auto& request : *requests)
      ASSERT_EQ(buffers[request.tag], content(kSeed, request.offset, request.into.size()))
          << "seed " << seed << ", read " << request.tag;
}

TEST_P(Session, RefusesWhatReachesPastTheEnd) {
  serve();
  CountingSink sink;
  std::vector<std::byte> buffer(4096);
  const ReadRequest requests[] = {{geometry.size_bytes - 4095, buffer, 0},
                                  {UINT64_MAX, buffer, 1},
                                  {UINT64_MAX - 4095, buffer, 2}};
  client->start_reads(requests, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(3));
  EXPECT_EQ(sink.count_of(RegionError::out_of_bounds), 3u);
}

TEST_P(Session, ServesTwoClientsAtOnce) {
  serve();
  const auto second = connect();
  CountingSink sinks[2];
  std::vector<std::byte> bytes[2] = {std::vector<std::byte>(geometry.size_bytes),
                                     std::vector<std::byte>(geometry.size_bytes)};
  RegionService* const clients[] = {client.get(), second.get()};
  for (int i = 0; i < 2; ++i) {
    const ReadRequest whole{0, bytes[i], 0};
    clients[i]->start_reads({&whole, 1}, i == 0 ? Urgency::demand : Urgency::background, soon(),
                            sinks[i]);
  }
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(sinks[i].wait_for(1));
    EXPECT_EQ(bytes[i], content(kSeed, 0, geometry.size_bytes));
  }
}

TEST_P(Session, WritesWhereTheStoreCanBeWritten) {
  serve();
  const auto bytes = content(99, 0, 200'000);
  CountingSink sink;
  const WriteRequest request{1234, bytes, 5};
  client->start_writes({&request, 1}, Urgency::background, soon(), sink);
  ASSERT_TRUE(sink.wait_for(1));
  if (writable == nullptr) {
    EXPECT_EQ(sink.error(5), RegionError::refused);
    return;
  }
  EXPECT_FALSE(sink.error(5));
  EXPECT_TRUE(std::ranges::equal(writable->mapping().subspan(1234, bytes.size()), bytes));
}

TEST_P(Session, CarriesExchangesLargerThanAFrame) {
  LocalRegion::Hooks hooks;
  hooks.on_exchange = [](std::string_view topic, std::span<const std::byte> request) {
    if (topic != "twice") throw std::system_error(make_error_code(RegionError::unknown_topic));
    std::vector<std::byte> reply(request.begin(), request.end());
    reply.insert(reply.end(), request.begin(), request.end());
    return reply;
  };
  serve(std::move(hooks));
  CountingSink sink;
  const auto request = content(1, 0, 3'000'001);
  client->start_exchange("twice", request, 1, Urgency::background, soon(), sink);
  client->start_exchange("twice", request, 2, Urgency::demand, soon(), sink);
  client->start_exchange("thrice", request, 3, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(3));
  for (const uint64_t tag : {1U, 2U}) {
    const auto reply = sink.reply(tag);
    ASSERT_EQ(reply.size(), 2 * request.size());
    EXPECT_TRUE(std::equal(request.begin(), request.end(), reply.begin()));
    EXPECT_TRUE(std::equal(request.begin(), request.end(), reply.begin() + 3'000'001));
  }
  EXPECT_EQ(sink.error(3), RegionError::unknown_topic);
}

TEST_P(Session, HandsOwnershipOverOnceAndFencesTheOldOwner) {
  int suspended = 0;
  LocalRegion::Hooks hooks;
  hooks.suspend_app = [&] { ++suspended; };
  hooks.collect_dirty = [] { return std::vector<ChunkIndex>{0, 5, 2048}; };
  serve(std::move(hooks));
  const auto late = connect();  // holds epoch 4 for good
  const ByteRange wanted[] = {{10, 100}, {5000, 8000}};
  const Suspension found = client->suspend_and_collect(4, wanted, soon());
  const Suspension again = client->suspend_and_collect(4, wanted, soon());
  EXPECT_THAT(found.dirty_chunks, testing::ElementsAre(0, 5, 2048));
  EXPECT_EQ(again.dirty_chunks, found.dirty_chunks);
  EXPECT_EQ(again.wanted, found.wanted);
  EXPECT_EQ(again.suspending, found.suspending);
  EXPECT_EQ(suspended, 1);
  auto expected = content(kSeed, 10, 100);
  const auto rest = content(kSeed, 5000, 8000);
  expected.insert(expected.end(), rest.begin(), rest.end());
  EXPECT_EQ(found.wanted, expected);
  EXPECT_EQ(client->epoch(), 5u);

  CountingSink sink;
  std::vector<std::byte> buffer(4096);
  const ReadRequest by_old{0, buffer, 0}, by_new{0, buffer, 1};
  late->start_reads({&by_old, 1}, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(1));
  client->start_reads({&by_new, 1}, Urgency::demand, soon(), sink);
  ASSERT_TRUE(sink.wait_for(2));
  EXPECT_EQ(sink.error(0), RegionError::stale_epoch);
  EXPECT_FALSE(sink.error(1));
  client->release(4, soon());
}

TEST_P(Session, TakesAFailedHandOverBack) {
  int resumed = 0;
  LocalRegion::Hooks hooks;
  hooks.resume_app = [&] { ++resumed; };
  serve(std::move(hooks));
  client->suspend_and_collect(4, {}, soon());
  client->resume(4, soon());
  client->resume(4, soon());
  EXPECT_EQ(resumed, 1);
  EXPECT_EQ(client->epoch(), 4u);
  EXPECT_EQ(client->suspend_and_collect(4, {}, soon()).dirty_chunks.size(), 0u);
  EXPECT_EQ(client->epoch(), 5u);
}

TEST_P(Session, NamesBothEpochsWhenAskedOfAStaleOne) {
  serve();
  try {
    client->suspend_and_collect(9, {}, soon());
    FAIL() << "a suspension of epoch 9 was answered";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), RegionError::stale_epoch);
    EXPECT_THAT(error.what(), testing::HasSubstr("epoch 9"));
    EXPECT_THAT(error.what(), testing::HasSubstr("epoch 4"));
  }
}

}  // namespace
}  // namespace memsync
