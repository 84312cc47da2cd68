// Who of several receivers is told of which block, when one detector serves them all.
#include "approaches/mmap_push/shared_source.h"

#include <array>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

namespace memsync::mmap_push {
namespace {

using testing::ElementsAre;

// Four blocks of one byte, as a comparing detector sees them: it names what differs from what it
// was last told.
class Bytes : public Source {
 public:
  std::array<std::byte, 4> now{};
  unsigned looks = 0;

  std::optional<uint64_t> refresh() override { return now.size(); }
  std::vector<ChunkIndex> changed() override {
    ++looks;
    std::vector<ChunkIndex> blocks;
    for (size_t i = 0; i < now.size(); ++i)
      if (!noted_[i] || *noted_[i] != now[i]) blocks.push_back(i);
    return blocks;
  }
  bool copy(std::span<std::byte> into, uint64_t offset) override {
    std::memcpy(into.data(), now.data() + offset, into.size());
    return true;
  }
  void note_held(ChunkIndex block, std::span<const std::byte> bytes) override {
    noted_[block] = bytes[0];
  }
  std::span<const std::byte> held(ChunkIndex) const override { return now; }

 private:
  std::array<std::optional<std::byte>, 4> noted_{};
};

class SharedBytes : public testing::Test {
 protected:
  // What a sender does with a block that was named.
  std::byte send(size_t receiver, ChunkIndex block) {
    std::byte copy{};
    shared.of(receiver).copy({&copy, 1}, block);
    shared.of(receiver).note_held(block, {&copy, 1});
    return copy;
  }
  void send_all(size_t receiver) {
    for (const ChunkIndex block : shared.of(receiver).changed()) send(receiver, block);
  }

  Bytes bytes;
  SharedSource shared{bytes, Geometry{4, 1}, 2};
};

TEST_F(SharedBytes, AreAllNamedToEachReceiverAtFirstByOneLook) {
  EXPECT_THAT(shared.of(0).changed(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(shared.of(1).changed(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(bytes.looks, 1u);
}

TEST_F(SharedBytes, AreLookedAtOncePerRoundAndNamedToAll) {
  send_all(0);
  send_all(1);
  bytes.now[2] = std::byte{9};
  shared.begin_round();
  EXPECT_THAT(shared.of(1).changed(), ElementsAre(2));
  EXPECT_EQ(send(1, 2), std::byte{9});
  EXPECT_THAT(shared.of(0).changed(), ElementsAre(2));
  send(0, 2);
  EXPECT_EQ(bytes.looks, 2u);
  shared.begin_round();
  EXPECT_THAT(shared.of(0).changed(), ElementsAre());
  EXPECT_THAT(shared.of(1).changed(), ElementsAre());
}

TEST_F(SharedBytes, AreLookedAtAgainByWhoeverAsksTwice) {
  send_all(0);
  send_all(1);
  shared.begin_round();
  EXPECT_THAT(shared.of(0).changed(), ElementsAre());
  bytes.now[0] = std::byte{1};
  EXPECT_THAT(shared.of(0).changed(), ElementsAre(0));
  EXPECT_THAT(shared.of(1).changed(), ElementsAre(0));
}

// The detector is told of the version that was sent last, and so would never name the block again
// to whoever was sent another one.
TEST_F(SharedBytes, AreNamedAgainToWhoeverWasSentAnotherVersion) {
  send_all(0);
  send_all(1);
  bytes.now[3] = std::byte{1};
  shared.begin_round();
  ASSERT_THAT(shared.of(0).changed(), ElementsAre(3));
  ASSERT_THAT(shared.of(1).changed(), ElementsAre(3));
  EXPECT_EQ(send(0, 3), std::byte{1});
  bytes.now[3] = std::byte{2};
  EXPECT_EQ(send(1, 3), std::byte{2});
  shared.begin_round();
  EXPECT_THAT(shared.of(1).changed(), ElementsAre());
  EXPECT_THAT(shared.of(0).changed(), ElementsAre(3));
  EXPECT_EQ(send(0, 3), std::byte{2});
  shared.begin_round();
  EXPECT_THAT(shared.of(0).changed(), ElementsAre());
  EXPECT_THAT(shared.of(1).changed(), ElementsAre());
}

// What was found by a later look than the one whose blocks are being sent is not crossed out.
TEST_F(SharedBytes, ThatChangeWhileAnotherReceiverIsSentAreNamedInItsNextRound) {
  send_all(0);
  send_all(1);
  bytes.now[1] = std::byte{1};
  shared.begin_round();
  ASSERT_THAT(shared.of(0).changed(), ElementsAre(1));
  ASSERT_THAT(shared.of(1).changed(), ElementsAre(1));
  std::byte early{};
  shared.of(0).copy({&early, 1}, 1);
  bytes.now[1] = std::byte{2};
  ASSERT_THAT(shared.of(1).changed(), ElementsAre(1)) << "a look of its own, before it sent any";
  shared.of(0).note_held(1, {&early, 1});
  send(1, 1);
  shared.begin_round();
  EXPECT_THAT(shared.of(0).changed(), ElementsAre(1));
}

TEST_F(SharedBytes, AreNotComparedWithWhatAnotherReceiverHolds) {
  send_all(0);
  EXPECT_TRUE(shared.of(0).held(0).empty());
}

}  // namespace
}  // namespace memsync::mmap_push
