// While the application moves memory (mremap(2)) the kernel lets nobody place a page until the
// event has been taken, and whoever takes events may be waiting for the thread that places.
#include <atomic>
#include <gtest/gtest.h>
#include <optional>
#include <poll.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include "approaches/userfaultfd/foreign_memory.h"
#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/touch.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class Moving : public testing::Test {
 protected:
  // Moves the first MiB, which waits until somebody has taken the event.
  void start_move() {
    mover_ = std::jthread([this] {
      ::mremap(mapping_.bytes().data(), kMiB, kMiB,
               MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, elsewhere_.bytes().data());
      has_moved_ = true;
    });
  }
  static void wait_for(const FileDescriptor& events) {
    pollfd waits{events.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waits, 1, -1), 1);
  }

  const Mapping mapping_ = Mapping::anonymous(2 * kMiB);
  const Mapping elsewhere_ = Mapping::anonymous(kMiB);
  const std::vector<std::byte> page_ = std::vector<std::byte>(page_bytes(), std::byte{7});
  std::atomic<bool> has_moved_{false};
  std::jthread mover_;
};

TEST_F(Moving, OwnMemoryTellsWhoPlacesThatItWasMoved) {
  OwnMemory memory(mapping_.bytes());
  start_move();
  wait_for(memory.descriptor());
  try {
    memory.place(kMiB, page_);
    FAIL() << "nothing was said";
  } catch (const std::system_error& problem) {
    EXPECT_NE(std::string(problem.what()).find("moved"), std::string::npos) << problem.what();
  }
  EXPECT_EQ(touch(elsewhere_.bytes().data()), std::nullopt);
}

TEST_F(Moving, OwnMemoryTellsWhoPlacesZerosThatItWasMoved) {
  OwnMemory memory(mapping_.bytes());
  start_move();
  wait_for(memory.descriptor());
  EXPECT_THROW(memory.place(kMiB, std::vector<std::byte>(page_bytes())), std::system_error);
}

TEST_F(Moving, OwnMemoryTellsWhoPoisonsThatItWasMoved) {
  OwnMemory memory(mapping_.bytes());
  if (!Userfault::open({}).has_poison()) GTEST_SKIP() << "this kernel maps lost pages over";
  start_move();
  wait_for(memory.descriptor());
  EXPECT_THROW(memory.poison({kMiB, page_bytes()}), std::system_error);
}

// As the handler of another process would, over a descriptor of its own.
class MovingElsewhere : public Moving {
 protected:
  MovingElsewhere() {
    userfault_.register_pages(mapping_.page_span());
    memory_.emplace(FileDescriptor{::dup(userfault_.descriptor().get())}, userfault_.has_poison(),
                    reinterpret_cast<uint64_t>(mapping_.bytes().data()), 2 * kMiB,
                    peer_of(sockets_.first.get()), sockets_.first.get());
  }
  ~MovingElsewhere() override { memory_->make_unreadable(); }

  const Userfault userfault_ = Userfault::open({});
  std::pair<FileDescriptor, FileDescriptor> sockets_ = FileDescriptor::socket_pair();
  std::optional<ForeignMemory> memory_;
};

TEST_F(MovingElsewhere, TheRestGoesOnComing) {
  start_move();
  wait_for(memory_->descriptor());
  memory_->place(kMiB, page_);
  EXPECT_EQ(touch(&mapping_.bytes()[kMiB]), page_.front());
  if (!userfault_.has_poison()) return;
  EXPECT_EQ(touch(elsewhere_.bytes().data()), std::nullopt) << "read zeros where bytes belong";
}

// It was taken with the event, by a thread that answers none.
TEST_F(MovingElsewhere, AFaultMeanwhileIsReportedAgain) {
  std::optional<std::byte> seen;
  std::jthread reader([&] { seen = touch(&mapping_.bytes()[kMiB + page_bytes()]); });
  wait_for(memory_->descriptor());
  start_move();
  while (!has_moved_) memory_->place(kMiB, page_);
  wait_for(memory_->descriptor());
  uint64_t fault = 0;
  ASSERT_EQ(memory_->take_faults({&fault, 1}), 1U);
  EXPECT_EQ(fault, kMiB + page_bytes());
  memory_->place(fault, page_);
  reader.join();
  EXPECT_EQ(seen, page_.front());
}

}  // namespace
}  // namespace memsync::userfaultfd
