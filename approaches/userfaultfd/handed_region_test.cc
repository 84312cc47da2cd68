// Two processes: one whose memory it is, one that answers its faults.
#include "approaches/userfaultfd/handed_region.h"

#include <atomic>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <thread>

#include "approaches/userfaultfd/handing_test_support.h"
#include "approaches/userfaultfd/touch.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

class HandingInDialect : public Handing, public testing::WithParamInterface<Dialect> {
 protected:
  HandingInDialect() { served_.dialect = GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Dialects, HandingInDialect,
                         testing::Values(Dialect::memsync, Dialect::userfaultfd_go),
                         [](const auto& test) {
                           return test.param == Dialect::memsync ? "memsync" : "userfaultfd_go";
                         });

TEST_P(HandingInDialect, GivesAnotherProcessTheRegionsBytes) {
  OtherProcess first([this](const OtherProcess&) { return read_everything(handler()); });
  OtherProcess second([this](const OtherProcess&) { return read_everything(handler()); });
  serve();
  first.tell();
  second.tell();
  EXPECT_EQ(first.exit_code(), 0);
  EXPECT_EQ(second.exit_code(), 0);
  EXPECT_GE(server_->totals().bytes_received, 2 * kSize);
  EXPECT_GT(server_->totals().faults, 0U);
  EXPECT_EQ(server_->totals().bytes_lost, 0U);
}

TEST_P(HandingInDialect, MakesOnlyLostPagesRaiseSigbus) {
  constexpr uint64_t kBad = kMiB + 5 * 4096;
  OtherProcess application([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    if (touch(&mapping.bytes()[kBad]) != std::nullopt) return 1;
    return touch(&mapping.bytes()[kBad - 4096]) == expected_at(kBad - 4096) ? 0 : 2;
  });
  script_ = [](ScriptedSource& source) { source.fail_at(kBad, std::errc::io_error); };
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
  wait_until_told("fetching 4096 bytes at offset " + std::to_string(kBad));
}

// The handler sees by the application's pagemap that the page is gone, and not just late.
TEST_P(HandingInDialect, BringsAPageAgainThatTheApplicationHasDropped) {
  OtherProcess application([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    for (int round = 0; round < 3; ++round) {
      if (mapping.bytes()[kMiB + 4096] != expected_at(kMiB + 4096)) return 1;
      if (::madvise(&mapping.bytes()[kMiB], 3 * 4096, MADV_DONTNEED) != 0) return 2;
    }
    return 0;
  });
  served_.settings.prefetch = Prefetch::none;
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
  EXPECT_GE(server_->totals().faults, 3U);
  EXPECT_GE(server_->totals().bytes_received, (64U << 10) + 2 * 4096) << "a unit, a page, a page";
}

// Nobody says goodbye: the process's end is seen through its pidfd, and the handler goes on.
TEST_P(HandingInDialect, OutlivesAnApplicationThatIsKilledWhileItWaits) {
  OtherProcess waiting([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    return static_cast<int>(mapping.bytes()[kMiB]);  // never answered
  });
  OtherProcess healthy([this](const OtherProcess&) { return read_everything(handler()); });
  std::atomic<bool> is_first = true;  // sessions are served by threads of their own
  script_ = [&](ScriptedSource& source) {
    if (is_first.exchange(false)) source.hold(Urgency::demand);
  };
  served_.settings.deadline = 1h;
  serve();
  waiting.tell();
  source().wait_for_requests(Urgency::demand, 1);
  EXPECT_TRUE(WIFSIGNALED(waiting.end()));
  wait_until_told("ended after");
  healthy.tell();
  EXPECT_EQ(healthy.exit_code(), 0);
}

TEST_P(HandingInDialect, ServesAProcessThatIsStoppedWhileItWaits) {
  OtherProcess application([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    return mapping.bytes()[kMiB] == expected_at(kMiB) ? 0 : 1;
  });
  script_ = [](ScriptedSource& source) { source.hold(Urgency::demand); };
  serve();
  application.tell();
  source().wait_for_requests(Urgency::demand, 1);
  application.signal(SIGSTOP);
  application.wait_until_stopped();
  source().let_go();
  while (server_->totals().bytes_received == 0) std::this_thread::yield();
  application.signal(SIGCONT);
  EXPECT_EQ(application.exit_code(), 0);
}

// The handler's orderly end, with threads of the application asleep.
TEST_P(HandingInDialect, EndsInSigbusForWhoWaitsWhenTheHandlerEnds) {
  OtherProcess application([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    return touch(&mapping.bytes()[kMiB]) == std::nullopt ? 0 : 1;
  });
  script_ = [](ScriptedSource& source) { source.hold(Urgency::demand); };
  serve();
  application.tell();
  source().wait_for_requests(Urgency::demand, 1);
  server_.reset();
  EXPECT_EQ(application.exit_code(), 0);
}

// Before Linux 6.6 one page can't be taken away from another process: all of it goes, by hanging
// up.
TEST_F(Handing, WithoutPoisonEndsInSigbusForAllWhenBytesAreLost) {
  OtherProcess application([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s),
                              Userfault::Poisoning::by_mapping);
    return touch(&mapping.bytes()[kMiB]) == std::nullopt ? 0 : 1;
  });
  script_ = [](ScriptedSource& source) { source.fail_at(kMiB, std::errc::io_error); };
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
}

TEST_F(Handing, OfAPartGivesThatPart) {
  constexpr uint64_t kFrom = 3 * 4096;
  constexpr uint64_t kLength = kMiB;
  OtherProcess application([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kLength);
    const HandedRegion region(mapping.bytes(), kFrom, handler(), after(20s));
    return digest_of(mapping.bytes()) == digest_of(expected(kFrom, kLength)) ? 0 : 1;
  });
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
}

// The kernel does not ask by which userfaultfd memory is registered: an answer that comes late must
// not land in what has become another region at the same addresses.
TEST_F(Handing, MakesTheSameMemoryAnotherPartOnceTheFirstIsLetGo) {
  constexpr uint64_t kLength = kMiB;
  OtherProcess application([this](const OtherProcess& line) {
    const Mapping mapping = Mapping::anonymous(kLength);
    {
      HandedRegion first(mapping.bytes(), 0, handler(), after(20s));
      if (mapping.bytes()[0] != expected_at(0)) return 1;
      line.wait();  // read-ahead is under way
      if (!first.let_go()) return 2;
    }
    if (::madvise(mapping.bytes().data(), kLength, MADV_DONTNEED) != 0) return 3;
    const HandedRegion second(mapping.bytes(), 2 * kMiB, handler(), after(20s));
    return digest_of(mapping.bytes()) == digest_of(expected(2 * kMiB, kLength)) ? 0 : 4;
  });
  bool is_first = true;
  script_ = [&](ScriptedSource& source) {
    if (std::exchange(is_first, false)) source.hold(Urgency::background);
  };
  serve();
  application.tell();
  source().wait_for_requests(Urgency::background, 1);
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
  EXPECT_EQ(server_->totals().applications, 2U);
}

// UFFDIO_COPY takes one mapping at a time, and an application may divide its own.
TEST_F(Handing, GoesOnWhenTheApplicationDividesItsMapping) {
  OtherProcess application([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    const auto pages = mapping.bytes();
    // A hole and a page that is read-only, within one unit.
    if (::munmap(&pages[3 * 4096], 4096) != 0 || ::mprotect(&pages[5 * 4096], 4096, PROT_READ) != 0)
      return 1;
    for (const uint64_t page : {0U, 2U, 4U, 5U, 6U})
      if (pages[page * 4096] != expected_at(page * 4096)) return 2;
    return 0;
  });
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
}

// Where nobody keeps count of them, pages must not read as zeros, nor their reader sleep.
TEST_P(HandingInDialect, MakesMemoryUnreadableThatTheApplicationMoves) {
  OtherProcess application([this](const OtherProcess&) {
    Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    if (mapping.bytes()[0] != expected_at(0)) return 1;
    const Mapping elsewhere = Mapping::anonymous(kMiB);
    if (::mremap(&mapping.bytes()[kMiB], kMiB, kMiB, MREMAP_MAYMOVE | MREMAP_FIXED,
                 elsewhere.bytes().data()) == MAP_FAILED)
      return 2;
    if (touch(&elsewhere.bytes()[4096]) != std::nullopt) return 3;
    return mapping.bytes()[3 * kMiB] == expected_at(3 * kMiB) ? 0 : 4;
  });
  served_.settings.prefetch = Prefetch::none;
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
}

TEST_F(Handing, LetsMemoryBeMovedWhenTheHandlerIsGone) {
  OtherProcess application([this](const OtherProcess& line) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    line.tell();
    line.wait();
    if (touch(&mapping.bytes()[kMiB]) != std::nullopt) return 1;  // it has been noticed
    const Mapping elsewhere = Mapping::anonymous(kMiB);
    if (::mremap(&mapping.bytes()[kMiB], kMiB, kMiB, MREMAP_MAYMOVE | MREMAP_FIXED,
                 elsewhere.bytes().data()) == MAP_FAILED)
      return 2;
    return touch(&elsewhere.bytes()[4096]) == std::nullopt ? 0 : 3;
  });
  served_.settings.prefetch = Prefetch::none;
  serve();
  application.tell();
  application.wait();
  server_.reset();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
}

}  // namespace
}  // namespace memsync::userfaultfd
