// What one receiver lacks of a file, and the versions that are kept while they are sent.
#include "approaches/mmap_push/hub/published_file.h"

#include <gtest/gtest.h>
#include <random>
#include <set>

#include "approaches/mmap_push/raw_peer.h"

namespace memsync::mmap_push {
namespace {

TEST(BlockSet, IsASetOfNumbersWhateverHappensToItsEnd) {
  std::mt19937_64 random(7);
  for (unsigned run = 0; run < 200; ++run) {
    BlockSet set(random() % 200);
    std::set<ChunkIndex> truth;
    for (unsigned step = 0; step < 30; ++step) {
      const uint64_t count = random() % 200, at = set.count() > 0 ? random() % set.count() : 0;
      switch (random() % 4) {
        case 0:
          set.resize(count);
          truth.erase(truth.lower_bound(count), truth.end());
          break;
        case 1:
          if (set.count() == 0) break;
          set.add(at);
          truth.insert(at);
          break;
        case 2:
          set.add_from(at);
          for (uint64_t block = at; block < set.count(); ++block) truth.insert(block);
          break;
        default: {
          BlockSet other(count);
          other.add_from(count / 2);
          set.add(other);
          for (uint64_t block = count / 2; block < std::min(count, set.count()); ++block)
            truth.insert(block);
          if (set.count() > 0) set.remove(at);
          truth.erase(at);
        }
      }
      std::set<ChunkIndex> found;
      for (ChunkIndex block = set.next(0); block < set.count(); block = set.next(block + 1))
        found.insert(block);
      ASSERT_EQ(found, truth) << "run " << run << ", step " << step;
      ASSERT_EQ(set.size(), truth.size());
      ASSERT_EQ(set.is_empty(), truth.empty());
    }
  }
}

class PublishedFiles : public testing::Test {
 protected:
  bool publish(const Bytes& bytes) {
    BlockTable table(4096, 1);
    table.resize(bytes.size());
    const Geometry& geometry = table.geometry();
    for (uint64_t block = 0; block < table.count(); ++block)
      table.set(block, table.digest_of_block(std::span(bytes).subspan(
                           geometry.chunk_start(block), geometry.chunk_length(block))));
    const std::string path = folder_.path() + "/" + std::to_string(++versions_);
    put_file(path, bytes);
    return file.publish(table,
                        std::make_shared<FileDescriptor>(FileDescriptor::open(path, O_RDONLY)));
  }
  static std::vector<ChunkIndex> blocks_of(const BlockSet& set) {
    std::vector<ChunkIndex> blocks;
    for (ChunkIndex at = set.next(0); at < set.count(); at = set.next(at + 1)) blocks.push_back(at);
    return blocks;
  }

  const TemporaryFolder folder_ = TemporaryFolder::make(kMemoryFolder);
  unsigned versions_ = 0;
  PublishedFile file{"data", 4096, 1};
  const FileDescriptor wake = FileDescriptor::event();
  const std::string receiver = "one";
};

TEST_F(PublishedFiles, MissWhatSeveralVersionsChangedOnce) {
  Bytes bytes = seeded(5 * 4096 + 10, 1);
  ASSERT_TRUE(publish(bytes));
  Subscription subscription(file, wake, receiver);
  file.acknowledge(subscription, 1);
  EXPECT_FALSE(file.take(subscription));
  for (const size_t at : {size_t{1}, size_t{4097}, size_t{2}}) {
    bytes[at] ^= std::byte{1};
    ASSERT_TRUE(publish(bytes));
  }
  const auto sending = file.take(subscription);
  ASSERT_TRUE(sending);
  EXPECT_EQ(sending->version->number, 4U);
  EXPECT_EQ(blocks_of(sending->blocks), (std::vector<ChunkIndex>{0, 1}));
  EXPECT_EQ(file.holdings().at(0).version, 1U);
}

TEST_F(PublishedFiles, KeepTheirNumberWhenNothingIsNew) {
  const Bytes bytes = seeded(10'000, 1);
  EXPECT_TRUE(publish(bytes));
  EXPECT_FALSE(publish(bytes));
  EXPECT_EQ(file.number(), 1U);
  EXPECT_TRUE(publish(Bytes(bytes.begin(), bytes.begin() + 8192)));
  EXPECT_EQ(file.number(), 2U);
}

TEST_F(PublishedFiles, SayWhichBlocksAreZeros) {
  Bytes bytes(3 * 4096 + 100);
  bytes[4096] = std::byte{1};
  publish(bytes);
  Subscription subscription(file, wake, receiver);
  file.miss_from(subscription, 0);
  const auto sending = file.take(subscription);
  EXPECT_EQ(blocks_of(sending->zeros), (std::vector<ChunkIndex>{0, 2, 3}));
}

TEST_F(PublishedFiles, TakeBackTheOldestVersionThatIsStillSent) {
  std::vector<std::shared_ptr<const Version>> kept;
  Bytes bytes = seeded(4096, 1);
  std::vector<Bytes> contents;
  Subscription subscription(file, wake, receiver);
  for (size_t i = 0; i < PublishedFile::kOldVersionsMax + 2; ++i) {
    bytes[0] = static_cast<std::byte>(i);
    publish(bytes);
    contents.push_back(bytes);
    kept.push_back(file.take(subscription)->version);
  }
  Bytes read(4096);
  EXPECT_FALSE(kept[0]->read(read, 0));
  for (size_t i = 1; i < kept.size(); ++i) {
    ASSERT_TRUE(kept[i]->read(read, 0)) << i;
    EXPECT_EQ(read, contents[i]);
  }
}

TEST_F(PublishedFiles, TakeBackNoneWhileOthersHaveBeenLetGo) {
  Bytes bytes = seeded(4096, 1);
  Subscription subscription(file, wake, receiver);
  publish(bytes);
  const auto first = file.take(subscription)->version;
  for (unsigned i = 0; i < 20; ++i) {
    bytes[0] = static_cast<std::byte>(i);
    publish(bytes);
    file.take(subscription);
  }
  Bytes read(4096);
  EXPECT_TRUE(first->read(read, 0));
}

// Whose file has been exchanged since, and would be the next round's spare.
TEST(VersionFile, LeavesAVersionAloneThatAnotherThreadKeeps) {
  const TemporaryFolder folder = TemporaryFolder::make(kMemoryFolder);
  VersionFile file(FileDescriptor::open(folder.path(), O_RDONLY | O_DIRECTORY), "data",
                   Publish::versions, Durable::off);
  const auto publish = [&](uint64_t seed) {
    file.catch_up(VersionFile::Patience::none);
    file.resize(10'000);
    file.write(seeded(10'000, seed), 0);
    file.publish();
    file.catch_up(VersionFile::Patience::some);
  };
  publish(1);
  const auto kept = file.keep_published();
  file.start_over();  // another descriptor of the same file
  for (uint64_t seed = 2; seed <= 4; ++seed) publish(seed);
  Bytes read(10'000);
  ASSERT_EQ(::pread(kept->get(), read.data(), read.size(), 0), 10'000);
  EXPECT_EQ(read, seeded(10'000, 1));
  EXPECT_EQ(file_bytes(folder.path() + "/data"), seeded(10'000, 4));
}

}  // namespace
}  // namespace memsync::mmap_push
