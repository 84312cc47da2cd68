// The end of a region of which little has come.
#include "approaches/userfaultfd/own_memory.h"

#include <fstream>
#include <gtest/gtest.h>
#include <optional>
#include <sys/mman.h>

#include "approaches/userfaultfd/touch.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const uint64_t kPage = page_bytes();

uint64_t page_table_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (uint64_t kib = 0; word == "VmPTE:" && status >> kib) return kib << 10;
  return 0;
}

// By the kernel's own poison and by what older kernels get.
class Ending : public testing::TestWithParam<Userfault::Poisoning> {
 protected:
  void open(uint64_t size) {
    mapping_ = Mapping::anonymous(size);
    memory_.emplace(mapping_.bytes(), Userfault::Wishes{.poisoning = GetParam()});
    keeps_pages_ = Userfault::open({.poisoning = GetParam()}).has_poison();
  }
  void place(uint64_t offset) {
    const std::vector<std::byte> page(kPage, std::byte{7});
    memory_->place(offset, page);
  }
  std::optional<std::byte> touch(uint64_t offset) const {
    return userfaultfd::touch(&mapping_.bytes()[offset]);
  }
  std::optional<std::byte> kept() const {
    return keeps_pages_ ? std::optional(std::byte{7}) : std::nullopt;
  }

  Mapping mapping_;
  std::optional<OwnMemory> memory_;
  bool keeps_pages_ = false;
};

INSTANTIATE_TEST_SUITE_P(Ways, Ending,
                         testing::Values(Userfault::Poisoning::if_offered,
                                         Userfault::Poisoning::by_mapping),
                         [](const auto& test) {
                           return test.param == Userfault::Poisoning::if_offered
                                      ? "poison_of_the_kernel"
                                      : "poison_by_mapping";
                         });

// Poison alone would take 32 MB of page tables here, and minutes at the second time.
TEST_P(Ending, OfALargeRegionTakesNoPageTables) {
  constexpr uint64_t kSize = uint64_t{16} << 30;
  open(kSize);
  const std::vector<uint64_t> here = {0, kSize / 2, kSize - kPage};
  for (const uint64_t offset : here) place(offset);
  const uint64_t before = page_table_bytes();
  memory_->make_unreadable();
  memory_->make_unreadable();
  EXPECT_LE(page_table_bytes(), before + kMiB);
  for (const uint64_t offset : here) EXPECT_EQ(touch(offset), kept()) << offset;
  for (const uint64_t offset : {kPage, kSize / 4, kSize / 2 - kPage, kSize / 2 + kPage})
    EXPECT_EQ(touch(offset), std::nullopt) << offset;
}

TEST_P(Ending, LeavesNoMissingPageReadableBetweenOthers) {
  constexpr uint64_t kSize = 64 * kMiB;
  open(kSize);
  for (uint64_t offset = 0; offset < kSize; offset += 3 * kMiB) place(offset);
  for (uint64_t offset = 0; offset < 8 * kMiB; offset += 2 * kPage) place(offset);
  memory_.reset();
  for (uint64_t offset = 0; offset < kSize; offset += kPage) {
    const bool is_here =
        offset % (3 * kMiB) == 0 || (offset < 8 * kMiB && offset % (2 * kPage) == 0);
    ASSERT_EQ(touch(offset), is_here ? kept() : std::nullopt) << offset;
  }
}

TEST_P(Ending, MakesAPageUnreadableThatWasDroppedMeanwhile) {
  open(kMiB);
  place(0);
  place(5 * kPage);
  memory_->make_unreadable();
  if (keeps_pages_) {
    ASSERT_EQ(::madvise(&mapping_.bytes()[5 * kPage], kPage, MADV_DONTNEED), 0);
  }
  memory_.reset();
  EXPECT_EQ(touch(0), kept());
  EXPECT_EQ(touch(5 * kPage), std::nullopt) << "read zeros where bytes belong";
}

// What the application has unmapped may be somebody else's by then.
TEST_P(Ending, LeavesAloneWhatStandsWhereTheApplicationHasUnmapped) {
  open(64 * kMiB);
  if (!keeps_pages_) GTEST_SKIP() << "before 6.6 all of the region is mapped over";
  place(0);
  const auto gone = mapping_.bytes().subspan(16 * kMiB, 16 * kMiB);
  ASSERT_EQ(::munmap(gone.data(), gone.size()), 0);
  ASSERT_NE(::mmap(gone.data(), gone.size(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
            MAP_FAILED);
  memory_.reset();
  for (const uint64_t offset : {16 * kMiB, 24 * kMiB, 32 * kMiB - kPage}) {
    mapping_.bytes()[offset] = std::byte{9};
    EXPECT_EQ(touch(offset), std::byte{9}) << offset;
  }
  for (const uint64_t offset : {kPage, 16 * kMiB - kPage, 32 * kMiB, 64 * kMiB - kPage})
    EXPECT_EQ(touch(offset), std::nullopt) << offset;
}

}  // namespace
}  // namespace memsync::userfaultfd
