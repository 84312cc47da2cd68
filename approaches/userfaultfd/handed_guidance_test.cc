// What is pulled ahead for another process: the lists and traces are of the region, the memory may
// hold any part of it.
#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <stdexcept>
#include <thread>

#include "approaches/userfaultfd/handing_test_support.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

constexpr uint64_t kUnit = 64 << 10;
constexpr TraceShape kShape{.region_bytes = kSize, .unit_bytes = kUnit};

class HandedGuidance : public Handing {
 protected:
  void guide_by(std::map<std::string, std::string> given) {
    options_.emplace(option_specs(), std::move(given));
    served_.settings = settings_from(*options_);
    served_.options = &*options_;
  }
  std::string trace() const { return folder_.path() + "/touches"; }
  void guide_by_trace() { guide_by({{"prefetch", "trace"}, {"trace", trace()}}); }

  // An application with the region from `begin` on in memory that touches `offsets` of the region,
  // once it is told to; 0 when all of them were right.
  auto touching(uint64_t begin, std::vector<uint64_t> offsets) {
    return [this, begin, offsets = std::move(offsets)](const OtherProcess& line) {
      const Mapping mapping = Mapping::anonymous(kSize - begin);
      const HandedRegion region(mapping.bytes(), begin, handler(), after(20s));
      line.tell();
      line.wait();
      for (const uint64_t offset : offsets)
        if (mapping.bytes()[offset - begin] != expected_at(offset)) return 1;
      return 0;
    };
  }
  void run(OtherProcess& application) {
    application.tell();
    application.wait();  // its memory is served
  }
  void wait_for_bytes(uint64_t bytes) {
    while (server_->totals().bytes_received < bytes) std::this_thread::yield();
  }
  // To the end, so that what was recorded is kept.
  void touch_and_end(OtherProcess& application) {
    application.tell();
    EXPECT_EQ(application.exit_code(), 0);
    wait_until_told("ended after");
  }

  std::optional<Options> options_;
};

TEST_F(HandedGuidance, BringsWhatTheListNamesWhereverTheMemoryBegins) {
  OtherProcess application(touching(kMiB + 4096, {2 * kMiB, 2 * kMiB + kUnit}));
  guide_by({{"prefetch", "priority"}, {"first", "0+64KiB;2MiB+128KiB"}});
  serve();
  run(application);
  wait_for_bytes(3 * kUnit);  // the list's units lie across three of this memory's
  touch_and_end(application);
  EXPECT_EQ(server_->totals().faults, 0U);
  EXPECT_EQ(server_->totals().bytes_received, 3 * kUnit);
}

TEST_F(HandedGuidance, RecordsWhatIsTouchedAndReplaysItIntoAPart) {
  OtherProcess first(touching(0, {5 * kUnit, 2 * kUnit, 9 * kUnit}));
  OtherProcess second(touching(4 * kUnit, {9 * kUnit, 5 * kUnit}));
  guide_by_trace();
  serve();
  run(first);
  touch_and_end(first);
  server_.reset();
  EXPECT_EQ(read_trace(trace(), kShape), (std::vector<UnitIndex>{5, 2, 9}));
  {
    MutexLock lock(mutex_);
    told_.clear();
  }
  serve();
  run(second);
  wait_for_bytes(2 * kUnit);
  touch_and_end(second);
  EXPECT_EQ(server_->totals().faults, 0U);
}

// Two memories, one trace: what both touched is in it once.
TEST_F(HandedGuidance, RecordsAllMemoriesInOneTrace) {
  OtherProcess first(touching(0, {kUnit, 3 * kUnit}));
  OtherProcess second(touching(3 * kUnit, {6 * kUnit, 3 * kUnit}));
  guide_by_trace();
  serve();
  for (OtherProcess* application : {&first, &second}) {
    run(*application);
    touch_and_end(*application);
    MutexLock lock(mutex_);
    told_.clear();
  }
  server_.reset();
  EXPECT_EQ(read_trace(trace(), kShape), (std::vector<UnitIndex>{1, 3, 6}));
}

TEST_F(HandedGuidance, KeepsNoTraceOfAnApplicationThatLostBytes) {
  OtherProcess application([this](const OtherProcess& line) {
    ::signal(SIGBUS, SIG_DFL);                         // a sanitizer's handler would exit
    return touching(0, {2 * kUnit, 5 * kUnit})(line);  // the second touch is its end
  });
  guide_by_trace();
  script_ = [](ScriptedSource& source) { source.fail_at(5 * kUnit, std::errc::io_error); };
  serve();
  run(application);
  application.tell();
  EXPECT_EQ(application.exit_code(), -SIGBUS);
  wait_until_told("fetching");
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(trace()));
}

TEST_F(HandedGuidance, RefusesAListThatLeavesTheRegion) {
  guide_by({{"prefetch", "priority"}, {"first", "4MiB+1MiB"}});
  EXPECT_THROW(serve(), std::invalid_argument);
}

TEST_F(HandedGuidance, RefusesWhatCanNotBeDoneToAnotherProcess) {
  served_.settings.handler = Handler::sigbus;
  EXPECT_THROW(serve(), std::invalid_argument);
  served_.settings.handler = Handler::spin;
  served_.settings.writes = Writes::back;
  EXPECT_THROW(serve(), std::invalid_argument);
}

}  // namespace
}  // namespace memsync::userfaultfd
