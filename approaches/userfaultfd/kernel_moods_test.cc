// What the kernel may answer on an ordinary day, provoked: ioctl(2) is wrapped by the linker.
// Source: ioctl_userfaultfd(2), errors of UFFDIO_COPY and UFFDIO_POISON.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <functional>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <mutex>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "approaches/userfaultfd/touch.h"
#include "lib/backend/stores.h"
#include "lib/os/userfault_kernel.h"
#include "lib/region/digest.h"

extern "C" {
int __real_ioctl(int fd, unsigned long request, void* argument);
int __wrap_ioctl(int fd, unsigned long request, ...);
}

namespace {
// Answers instead of the kernel, when it returns true; set errno then.
using Mood = std::function<bool(int fd, unsigned long request, void* argument)>;
std::mutex mood_mutex;  // handlers are at work when it changes
Mood mood;

void set_mood(Mood next) {
  const std::lock_guard lock(mood_mutex);
  mood = std::move(next);
}

bool is_answered(int fd, unsigned long request, void* argument) {
  const std::lock_guard lock(mood_mutex);
  return mood && mood(fd, request, argument);
}
}  // namespace

int __wrap_ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (is_answered(fd, request, argument)) return -1;
  return __real_ioctl(fd, request, argument);
}

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSize = 2 << 20;

class Moods : public testing::Test {
 protected:
  Moods() : mapping_(Mapping::anonymous(kSize)) {
    source_ = std::make_unique<ScriptedSource>(reader_);
    memory_ = std::make_unique<OwnMemory>(mapping_.bytes());
    pager_ = std::make_unique<Pager>(*memory_, Geometry{.size_bytes = kSize, .chunk_bytes = 4096},
                                     Settings{}, *source_);
  }
  ~Moods() override {
    pager_->stop();
    source_.reset();
    set_mood(nullptr);
  }
  static Digest expected() {
    std::vector<std::byte> bytes(kSize);
    fill_content(ContentKind::random, 1, bytes, 0);
    return digest_of(bytes);
  }
  // The mood of UFFDIO_COPY alone.
  void when_copying(std::function<bool(int, uffdio_copy&)> answer) {
    set_mood([answer = std::move(answer)](int fd, unsigned long request, void* argument) {
      return request == UFFDIO_COPY && answer(fd, *static_cast<uffdio_copy*>(argument));
    });
  }

  PatternReader reader_{ContentKind::random, 1, kSize};
  std::unique_ptr<ScriptedSource> source_;
  Mapping mapping_;
  std::unique_ptr<OwnMemory> memory_;
  std::unique_ptr<Pager> pager_;
};

// Defect xU2: EINTR and EAGAIN were fatal.
TEST_F(Moods, InterruptedOrToldToTryAgainItTriesAgain) {
  std::atomic<int> answers = 0;
  when_copying([&](int, uffdio_copy& copy) {
    const int number = answers++;
    if (number % 3 == 0) return false;
    copy.copy = number % 3 == 1 ? -EAGAIN : -EINTR;
    errno = number % 3 == 1 ? EAGAIN : EINTR;
    return true;
  });
  EXPECT_EQ(digest_of(mapping_.bytes()), expected());
  EXPECT_GT(answers, 3);
  EXPECT_NO_THROW(pager_->rethrow_failure());
}

TEST_F(Moods, StoppedHalfwayItGoesOnBehindWhatIsDone) {
  std::atomic<int> halves = 0;
  when_copying([&](int fd, uffdio_copy& copy) {
    if (copy.len <= page_bytes()) return false;
    uffdio_copy half = copy;
    half.len = copy.len / 2 / page_bytes() * page_bytes();
    if (half.len == 0 || __real_ioctl(fd, UFFDIO_COPY, &half) != 0) return false;
    ++halves;
    copy.copy = half.copy;
    errno = EAGAIN;
    return true;
  });
  EXPECT_EQ(digest_of(mapping_.bytes()), expected());
  EXPECT_GT(halves, 0);
}

// A cgroup's limit would end in SIGKILL, so the kernel's own words are put into its mouth.
TEST_F(Moods, WithoutMemoryItEndsInSigbusAndANamedError) {
  const auto bad = reinterpret_cast<uint64_t>(&mapping_.bytes()[1 << 20]);
  when_copying([&](int, uffdio_copy& copy) {
    if (bad < copy.dst || bad >= copy.dst + copy.len) return false;
    copy.copy = -ENOMEM;
    errno = ENOMEM;
    return true;
  });
  EXPECT_EQ(touch(&mapping_.bytes()[1 << 20]), std::nullopt);
  EXPECT_NE(touch(&mapping_.bytes()[0]), std::nullopt) << "other units are served";
  try {
    pager_->rethrow_failure();
    FAIL() << "parked nothing";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code(), std::errc::not_enough_memory);
    EXPECT_NE(std::string(problem.what()).find("offset 1048576"), std::string::npos)
        << problem.what();
  }
}

TEST_F(Moods, WithoutPoisonTheWholeRegionEndsRatherThanAThreadSleeps) {
  source_->fail_at(0, std::errc::io_error);
  set_mood([](int, unsigned long request, void*) {
    if (request != kIoctlPoison) return false;
    errno = ENOMEM;
    return true;
  });
  EXPECT_EQ(touch(&mapping_.bytes()[0]), std::nullopt);
  EXPECT_THROW(pager_->rethrow_failure(), std::system_error);
}

}  // namespace
}  // namespace memsync::userfaultfd
