// Applications and handlers that stop, lie or die at each step of a hand-off.
#include <array>
#include <csignal>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "approaches/userfaultfd/handing_test_support.h"
#include "approaches/userfaultfd/touch.h"
#include "lib/os/error.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

// Where an application may be killed, stopped for ever, or turn out to be something else.
enum class Step : uint8_t { connected, half_an_offer, offered, a_pipe_instead };
class AnApplicationThatStops : public Handing,
                               public testing::WithParamInterface<std::tuple<Step, int>> {
 protected:
  static void reach(Step step, const std::string& path) {
    const FileDescriptor connection = connect_to_path(path);
    const Mapping mapping = Mapping::anonymous(kSize);
    const Userfault userfault = Userfault::open({});
    userfault.register_pages(mapping.page_span());
    const Offer offer{.start = reinterpret_cast<uint64_t>(mapping.bytes().data()),
                      .length = kSize,
                      .region_offset = 0,
                      .page_bytes = static_cast<uint32_t>(page_bytes()),
                      .pid = static_cast<uint32_t>(::getpid()),
                      .has_poison = userfault.has_poison()};
    const auto bytes = encode_offer(offer, Dialect::memsync);
    if (step == Step::half_an_offer)
      send_with_descriptors(connection.get(), std::span(bytes).first(20),
                            std::array{userfault.descriptor().get()});
    if (step == Step::offered)
      send_offer(connection.get(), offer, Dialect::memsync, userfault.descriptor());
    if (step == Step::a_pipe_instead)
      send_offer(connection.get(), offer, Dialect::memsync, FileDescriptor::event());
    // In whichever way it stops, the connection is open until then.
    static_cast<void>(connection.duplicate().release());
  }
};

TEST_P(AnApplicationThatStops, HarmsNoOther) {
  const auto [step, signal] = GetParam();
  OtherProcess bad([&](const OtherProcess& line) {
    reach(step, path());
    line.tell();
    ::pause();
    return 0;
  });
  OtherProcess healthy([this](const OtherProcess&) { return read_everything(handler()); });
  served_.offer_limit = 50ms;
  serve();
  bad.tell();
  bad.wait();
  bad.signal(signal);
  healthy.tell();
  EXPECT_EQ(healthy.exit_code(), 0);
  if (step == Step::a_pipe_instead) wait_until_told("no userfaultfd");
  if (signal == SIGSTOP && (step == Step::connected || step == Step::half_an_offer))
    wait_until_told("timed out");
}

INSTANTIATE_TEST_SUITE_P(Steps, AnApplicationThatStops,
                         testing::Combine(testing::Values(Step::connected, Step::half_an_offer,
                                                          Step::offered, Step::a_pipe_instead),
                                          testing::Values(SIGKILL, SIGSTOP)));

// Reads at `offset` as an application whose handler is another process, and says how that ended.
class HandlerThatDies : public testing::TestWithParam<Userfault::Poisoning> {
 protected:
  enum class Dies : uint8_t { before_the_offer, before_the_verdict, after_the_verdict };
  // A handler that takes the connection and goes no further than `step`.
  static int stop_at(Dies step, const std::string& path) {
    const auto network = make_address_network("unix:" + path);
    const auto listener = network->listen("");
    const auto connection = listener->accept(after(20s));
    if (step == Dies::before_the_offer) ::raise(SIGKILL);
    const FileDescriptor never = FileDescriptor::event();
    const auto received =
        receive_offer(connection->descriptor(), Dialect::memsync, never, after(20s));
    if (step == Dies::before_the_verdict) ::raise(SIGKILL);
    connection->write_all(encode_verdict(Verdict::served), after(20s));
    std::array<char, 32> fault;  // the first one, which is the application's thread asleep
    pollfd faults{received.userfault.get(), POLLIN, 0};
    ::poll(&faults, 1, -1);
    static_cast<void>(::read(received.userfault.get(), fault.data(), fault.size()));
    ::raise(SIGKILL);
    return 0;
  }
  void run(Dies step) {
    const memsync::test::TemporaryDirectory folder;
    const std::string path = folder.path() + "/faults";
    OtherProcess handler([&](const OtherProcess&) { return stop_at(step, path); });
    handler.tell();
    const Mapping mapping = Mapping::anonymous(kSize);
    while (::access(path.c_str(), F_OK) != 0) std::this_thread::yield();
    if (step != Dies::after_the_verdict) {
      EXPECT_THROW(open(mapping, path), std::system_error);
      EXPECT_EQ(mapping.bytes()[0], std::byte{}) << "plain memory again";
      return;
    }
    const auto region = open(mapping, path);
    EXPECT_EQ(touch(&mapping.bytes()[kMiB]), std::nullopt) << "who waited";
    EXPECT_EQ(touch(&mapping.bytes()[0]), std::nullopt) << "who comes later";
    EXPECT_EQ(handler.exit_code(), -SIGKILL);
  }
  std::unique_ptr<HandedRegion> open(const Mapping& mapping, const std::string& path) {
    while (true) {
      try {
        return std::make_unique<HandedRegion>(mapping.bytes(), 0, HandedRegion::Handler{path},
                                              after(20s), GetParam());
      } catch (const std::system_error& problem) {
        if (problem.code().value() != ECONNREFUSED) throw;  // it is about to listen
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Poison, HandlerThatDies,
                         testing::Values(Userfault::Poisoning::if_offered,
                                         Userfault::Poisoning::by_mapping));

TEST_P(HandlerThatDies, BeforeTheOfferIsAnError) {
  run(Dies::before_the_offer);
}
TEST_P(HandlerThatDies, BeforeTheVerdictIsAnError) {
  run(Dies::before_the_verdict);
}
TEST_P(HandlerThatDies, WhileAThreadWaitsEndsInSigbus) {
  run(Dies::after_the_verdict);
}

class Refused : public Handing {
 protected:
  // What HandedRegion says, with `adjust` in between in the other process.
  void expect_refusal(uint64_t length, uint64_t offset, const std::string& reason) {
    OtherProcess application([&](const OtherProcess&) {
      const Mapping mapping = Mapping::anonymous(length);
      try {
        const HandedRegion region(mapping.bytes(), offset, handler(), after(20s));
      } catch (const std::system_error& problem) {
        return std::string(problem.what()).find(reason) == std::string::npos ? 2 : 0;
      }
      return 1;
    });
    serve();
    application.tell();
    EXPECT_EQ(application.exit_code(), 0) << reason;
  }
};

TEST_F(Refused, IsMemoryThatReachesPastTheRegion) {
  expect_refusal(kSize + 1, 0, "outside the region");
}
TEST_F(Refused, IsMemoryThatBeginsPastTheRegion) {
  expect_refusal(4096, 64 * kMiB, "outside the region");
}

TEST_F(Refused, IsAnApplicationWhenTheRegionCanNotBeReached) {
  script_ = [](ScriptedSource&) { throw_errno("connecting to the source", ECONNREFUSED); };
  expect_refusal(kSize, 0, "can't reach the region's bytes");
}

TEST_F(Refused, IsAnApplicationOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  OtherProcess application([this](const OtherProcess&) {
    if (::setuid(65534) != 0) return 77;
    const FileDescriptor connection = connect_to_path(path());
    std::array<std::byte, kVerdictBytes> bytes;
    read_all(connection.get(), bytes.data(), bytes.size(), "reading the verdict");
    return decode_verdict(bytes) == Verdict::not_allowed ? 0 : 1;
  });
  serve();
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path().c_str(), 0777), 0);
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
}

// A connection that was inherited: the memory is the child's, the credentials are the parent's.
TEST_F(Refused, IsTheMemoryOfAProcessThatDidNotConnect) {
  OtherProcess application([this](const OtherProcess&) {
    const FileDescriptor connection = connect_to_path(path());
    const pid_t child = ::fork();
    if (child == 0) {
      const Mapping mapping = Mapping::anonymous(kSize);
      const Userfault userfault = Userfault::open({});
      userfault.register_pages(mapping.page_span());
      send_offer(connection.get(),
                 {.start = reinterpret_cast<uint64_t>(mapping.bytes().data()),
                  .length = kSize,
                  .region_offset = 0,
                  .page_bytes = static_cast<uint32_t>(page_bytes()),
                  .pid = static_cast<uint32_t>(::getpid()),
                  .has_poison = true},
                 Dialect::memsync, userfault.descriptor());
      std::array<std::byte, kVerdictBytes> bytes;
      read_all(connection.get(), bytes.data(), bytes.size(), "reading the verdict");
      ::_exit(decode_verdict(bytes) == Verdict::wrong_process ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  });
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
}

}  // namespace
}  // namespace memsync::userfaultfd
