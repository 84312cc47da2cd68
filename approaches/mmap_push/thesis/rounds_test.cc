// Rounds between both of our ends: what travels, sizes, and writers that go on meanwhile.
#include <fcntl.h>
#include <latch>
#include <random>
#include <sys/stat.h>
#include <unistd.h>

#include "approaches/mmap_push/thesis/block_hashes.h"
#include "approaches/mmap_push/thesis/test_support.h"
#include "lib/os/error.h"
#include "lib/transport/network.h"

namespace memsync::mmap_push::thesis::test {
namespace {

using ThesisRounds = TwoFiles;

TEST_F(ThesisRounds, SendWhatDiffersAndTheLastBlock) {
  std::string bytes = random_bytes(1, 10 * 4096);
  write_file(source_path(), bytes);
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  ThesisSource source(std::move(ours), source_file(), small_blocks());
  const auto all = source.round(soon());
  EXPECT_EQ(all.chunks_examined, 10U);
  EXPECT_EQ(all.chunks_moved, 10U);
  EXPECT_EQ(all.payload_bytes, 10U * 4096);
  EXPECT_GT(all.elapsed.count(), 0);
  EXPECT_TRUE(files_are_equal());

  EXPECT_EQ(source.round(soon()).chunks_moved, 0U);
  bytes[9 * 4096] ^= 1;
  write_file(source_path(), bytes);
  EXPECT_EQ(source.round(soon()).chunks_moved, 1U);
  bytes[3 * 4096 + 17] ^= 1;
  write_file(source_path(), bytes);
  const auto one = source.round(soon());
  EXPECT_EQ(one.chunks_moved, 2U);
  EXPECT_EQ(one.payload_bytes, 2U * 4096);
  EXPECT_TRUE(files_are_equal());
}

TEST_F(ThesisRounds, TakeEachSizeToEachOther) {  // M15
  const Settings settings = small_blocks(512);
  const std::array<size_t, 11> sizes{0, 1, 511, 512, 513, 1023, 1024, 1025, 5120, 5157, 300'000};
  for (const size_t before : sizes)
    for (const size_t now : sizes) {
      write_file(received_path(), random_bytes(1, before));
      write_file(source_path(), random_bytes(1, now));
      const auto report = sync_once(settings);
      EXPECT_TRUE(files_are_equal()) << before << " -> " << now;
      EXPECT_LE(report.payload_bytes, (now > before ? now - before : 0) + 1024)
          << before << " -> " << now;
    }
}

TEST_F(ThesisRounds, TakeMemoryFilesOverTcp) {
  auto network = make_address_network("127.0.0.1:0");
  auto listener = network->listen("thesis");
  auto dialled =
      make_address_network(network->address("source"))->connect("source", "thesis", soon());
  auto accepted = listener->accept(soon());
  const auto bytes = memsync::test::content(3, 0, 100'001);
  auto source_memory = FileDescriptor::memory_file("source", bytes.size());
  write_all(source_memory.get(), bytes.data(), bytes.size(), "filling the source");
  const auto received_memory = FileDescriptor::memory_file("received", 0);
  Receiving receiving(std::move(dialled), SyncedFile::of(received_memory.duplicate()),
                      small_blocks());
  ThesisSource source(std::move(accepted), SyncedFile::of(std::move(source_memory)),
                      small_blocks());
  EXPECT_EQ(source.round(soon()).chunks_moved, 25U);
  std::vector<std::byte> received(bytes.size() + 1);
  EXPECT_EQ(read_at(received_memory, received, 0), bytes.size());
  received.pop_back();
  EXPECT_EQ(received, bytes);
}

TEST_F(ThesisRounds, HashAlikeWithAnyNumberOfWorkers) {
  write_file(source_path(), random_bytes(4, 3'000'000));
  const auto file = FileDescriptor::open(source_path(), O_RDONLY);
  Settings settings{.block_bytes = 1000, .workers = 1};
  const auto one = hash_file(file, settings);
  EXPECT_EQ(one.blocks.size(), 3000U);
  for (const unsigned workers : {0U, 2U, 3U, 16U}) {
    settings.workers = workers;
    EXPECT_EQ(hash_file(file, settings).blocks, one.blocks) << workers;
  }
}

TEST_F(ThesisRounds, FollowAWriterAndEndEqualWhenItHasStopped) {  // M16, M34
  constexpr uint64_t kSeed = 6;
  write_file(source_path(), random_bytes(5, 200'000));
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks(512));
  ThesisSource source(std::move(ours), source_file(), small_blocks(512));
  std::latch writing{1};
  std::jthread writer([&](std::stop_token stop) {
    std::mt19937_64 random(kSeed);
    const auto file = FileDescriptor::open(source_path(), O_RDWR);
    for (int i = 0; !stop.stop_requested(); ++i) {
      const uint64_t value = random();
      check(::pwrite(file.get(), &value, sizeof value, static_cast<off_t>(random() % 190'000)),
            "writing");
      if (i % 64 == 0)
        check(::ftruncate(file.get(), static_cast<off_t>(100'000 + random() % 100'000)),
              "truncating");
      if (i == 0) writing.count_down();
    }
  });
  writing.wait();
  for (int i = 0; i < 20; ++i) source.round(soon());
  writer.request_stop();
  writer.join();
  source.round(soon());
  EXPECT_TRUE(files_are_equal()) << "seed " << kSeed;
}

TEST_F(ThesisRounds, EqualAfterEachOfManyRandomChanges) {
  constexpr uint64_t kSeed = 11;
  std::mt19937_64 random(kSeed);
  const Settings settings = small_blocks(256);
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), settings);
  write_file(source_path(), "");
  ThesisSource source(std::move(ours), source_file(), settings);
  for (int i = 0; i < 500; ++i) {
    std::string bytes = read_file(source_path());
    for (uint64_t n = random() % 3; n > 0 && !bytes.empty(); --n)
      bytes[random() % bytes.size()] ^= 0x55;
    const bool is_replaced = random() % 4 == 0;
    if (random() % 3 == 0) bytes.resize(random() % 5000, 'x');
    if (random() % 8 == 0) bytes.resize(bytes.size() / 256 * 256);
    write_file(is_replaced ? folder() + "/new" : source_path(), bytes);
    if (is_replaced) std::filesystem::rename(folder() + "/new", source_path());
    source.round(soon());
    ASSERT_EQ(read_file(received_path()), bytes) << "change " << i << " of seed " << kSeed;
  }
}

TEST_F(ThesisRounds, EndWithTheSourceOrWhenTheReceiverIsStopped) {
  write_file(source_path(), "abc");
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks());
  {
    ThesisSource source(std::move(ours), source_file(), small_blocks());
    source.round(soon());
  }
  EXPECT_EQ(receiving.end(), 0);

  auto [unasked, left] = connection();
  Receiving waiting(std::move(left), received_file(), small_blocks());
  EXPECT_EQ(waiting.stop(), 0);
}

TEST_F(ThesisRounds, EndQuietlyWithASourceThatLeavesTheListUnread) {
  // A list that waits in the socket, and one that is longer than any socket's buffer.
  for (const size_t blocks : {size_t{1000}, size_t{1'000'000}})
    for (const size_t bytes_read : {size_t{4}, size_t{1000}}) {
      write_file(received_path(), std::string(blocks, 'x'));
      auto [ours, theirs] = connection();
      Receiving receiving(std::move(theirs), received_file(), small_blocks(1));
      std::vector<std::byte> some(bytes_read);
      ours->read_all(some, soon());
      ours.reset();
      EXPECT_EQ(receiving.end(), 0) << blocks << " blocks, " << bytes_read << " bytes read";
    }
}

TEST_F(ThesisRounds, RefuseSettingsThatAreNotSound) {
  auto [ours, theirs] = connection();
  EXPECT_THROW(ThesisSource(std::move(ours), source_file(), Settings{.block_bytes = 0}),
               std::invalid_argument);
  EXPECT_THROW(ThesisReceiver(std::move(theirs), received_file(),
                              Settings{.block_bytes = kBlockBytesMax + 1}),
               std::invalid_argument);
}

TEST_F(ThesisRounds, WithEndsOfOtherBlockSizesNeverClaimToAgree) {
  write_file(source_path(), random_bytes(1, 10'000));
  auto [ours, theirs] = connection();
  Receiving receiving(std::move(theirs), received_file(), small_blocks(2048));
  ThesisSource source(std::move(ours), source_file(), small_blocks(1024));
  EXPECT_NE(error_of([&] { source.round(after(milliseconds(300))); }), 0);
}

}  // namespace
}  // namespace memsync::mmap_push::thesis::test
