// Two processes: one whose memory it is, one that answers its faults. Either may stop, lie or die.
#include "approaches/userfaultfd/handed_region.h"

#include <algorithm>
#include <csignal>
#include <functional>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "approaches/userfaultfd/fault_server.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "approaches/userfaultfd/touch.h"
#include "lib/backend/stores.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/region/digest.h"
#include "lib/transport/transport_test_support.h"

namespace memsync::userfaultfd {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t kSeed = 11;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kSize = 4 * kMiB + 123;

std::vector<std::byte> expected(uint64_t offset, uint64_t length) {
  std::vector<std::byte> bytes(length);
  fill_content(ContentKind::random, kSeed, bytes, offset);
  return bytes;
}
std::byte expected_at(uint64_t offset) {
  return expected(offset, 1)[0];
}

// Another process, forked before this one has threads. It begins when it is told to; what `work`
// returns is its exit code.
class OtherProcess {
 public:
  template <typename Work>
  explicit OtherProcess(Work work) {
    auto [ours, theirs] = FileDescriptor::socket_pair();
    line_ = std::move(ours);
    pid_ = ::fork();
    if (pid_ != 0) return;
    line_ = std::move(theirs);
    int code = 99;
    try {
      wait();
      code = work(*this);
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "the other process: %s\n", problem.what());
    }
    ::_exit(code);
  }
  ~OtherProcess() {
    if (pid_ > 0) end();
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  // A step of either: tell() lets the other side's wait() return.
  void tell() const {
    const char byte = 0;
    write_all(line_.get(), &byte, 1, "telling the other process");
  }
  void wait() const {
    char byte = 0;
    read_all(line_.get(), &byte, 1, "waiting for the other process");
  }
  void signal(int number) const { ::kill(pid_, number); }
  // Waits until a SIGSTOP has reached it.
  void wait_until_stopped() const { ::waitpid(pid_, nullptr, WUNTRACED); }
  int end() {
    int status = 0;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }
  int exit_code() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  FileDescriptor line_;
};

class Handing : public testing::Test {
 protected:
  std::string path() const { return folder_.path() + "/faults"; }
  HandedRegion::Handler handler() const { return {path(), served_.dialect}; }

  // Starts answering; children are forked before that.
  void serve() {
    served_.region_bytes = kSize;
    served_.user = ::geteuid();
    served_.connect = [this] { return connect(); };
    served_.tell = [this](const std::string& sentence) {
      MutexLock lock(mutex_);
      told_.push_back(sentence);
      changed_.notify_all();
    };
    network_ = make_address_network("unix:" + path());
    server_ = std::make_unique<FaultServer>(network_->listen(""), served_);
  }
  std::unique_ptr<RegionService> connect() {
    auto source = std::make_unique<ScriptedSource>(reader_);
    if (script_) script_(*source);
    MutexLock lock(mutex_);
    source_ = source.get();
    changed_.notify_all();
    return source;
  }
  // Of the application that was served last.
  ScriptedSource& source() {
    MutexLock lock(mutex_);
    while (source_ == nullptr) changed_.wait(mutex_);
    return *source_;
  }
  void wait_until_told(const std::string& part) {
    MutexLock lock(mutex_);
    while (std::none_of(told_.begin(), told_.end(), [&](const std::string& sentence) {
      return sentence.find(part) != std::string::npos;
    }))
      changed_.wait(mutex_);
  }

  // What an application does that reads everything: 0 when all of it is right.
  static int read_everything(const HandedRegion::Handler& handler) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler, after(20s));
    const bool right = digest_of(mapping.bytes()) == digest_of(expected(0, kSize));
    const auto tail = mapping.page_span().subspan(kSize);
    return right && std::all_of(tail.begin(), tail.end(),
                                [](std::byte b) { return b == std::byte{}; })
               ? 0
               : 1;
  }

  const test::TemporaryDirectory folder_;
  ServedFaults served_;
  std::function<void(ScriptedSource&)> script_;
  PatternReader reader_{ContentKind::random, kSeed, kSize};
  Mutex mutex_;
  Condition changed_;
  ScriptedSource* source_ GUARDED_BY(mutex_) = nullptr;
  std::vector<std::string> told_ GUARDED_BY(mutex_);
  std::unique_ptr<Network> network_;
  std::unique_ptr<FaultServer> server_;  // last: its threads end before what they use
};

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
    const SurviveBusErrors survive;
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    if (SurviveBusErrors::touch(&mapping.bytes()[kBad]) != std::nullopt) return 1;
    return SurviveBusErrors::touch(&mapping.bytes()[kBad - 4096]) == expected_at(kBad - 4096) ? 0
                                                                                              : 2;
  });
  script_ = [](ScriptedSource& source) { source.fail_at(kBad, std::errc::io_error); };
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
  wait_until_told("fetching 4096 bytes at offset " + std::to_string(kBad));
}

// Nobody says goodbye: the process's end is seen through its pidfd, and the handler goes on.
TEST_P(HandingInDialect, OutlivesAnApplicationThatIsKilledWhileItWaits) {
  OtherProcess waiting([this](const OtherProcess&) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    return static_cast<int>(mapping.bytes()[kMiB]);  // never answered
  });
  OtherProcess healthy([this](const OtherProcess&) { return read_everything(handler()); });
  bool is_first = true;
  script_ = [&](ScriptedSource& source) {
    if (std::exchange(is_first, false)) source.hold(Urgency::demand);
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
    const SurviveBusErrors survive;
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s));
    return SurviveBusErrors::touch(&mapping.bytes()[kMiB]) == std::nullopt ? 0 : 1;
  });
  script_ = [](ScriptedSource& source) { source.hold(Urgency::demand); };
  serve();
  application.tell();
  source().wait_for_requests(Urgency::demand, 1);
  server_.reset();
  EXPECT_EQ(application.exit_code(), 0);
}

// Where an application may be killed, stopped for ever, or turn out to be something else.
enum class Step : uint8_t { connected, half_an_offer, offered, a_pipe_instead };
class AnApplicationThatStops : public Handing,
                               public testing::WithParamInterface<std::tuple<Step, int>> {
 protected:
  static void reach(Step step, const std::string& path) {
    const FileDescriptor connection = connect_to_path(path);
    const Mapping mapping = Mapping::anonymous(kSize);
    const Userfault userfault = Userfault::open();
    userfault.register_missing(mapping.page_span());
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
    const test::TemporaryDirectory folder;
    const std::string path = folder.path() + "/faults";
    OtherProcess handler([&](const OtherProcess&) { return stop_at(step, path); });
    handler.tell();
    const SurviveBusErrors survive;
    const Mapping mapping = Mapping::anonymous(kSize);
    while (::access(path.c_str(), F_OK) != 0) std::this_thread::yield();
    if (step != Dies::after_the_verdict) {
      EXPECT_THROW(open(mapping, path), std::system_error);
      EXPECT_EQ(mapping.bytes()[0], std::byte{}) << "plain memory again";
      return;
    }
    const auto region = open(mapping, path);
    EXPECT_EQ(SurviveBusErrors::touch(&mapping.bytes()[kMiB]), std::nullopt) << "who waited";
    EXPECT_EQ(SurviveBusErrors::touch(&mapping.bytes()[0]), std::nullopt) << "who comes later";
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

// Before Linux 6.6 one page can't be taken away from another process: all of it goes, by hanging
// up.
TEST_F(Handing, WithoutPoisonEndsInSigbusForAllWhenBytesAreLost) {
  OtherProcess application([this](const OtherProcess&) {
    const SurviveBusErrors survive;
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler(), after(20s),
                              Userfault::Poisoning::by_mapping);
    return SurviveBusErrors::touch(&mapping.bytes()[kMiB]) == std::nullopt ? 0 : 1;
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
    for (const uint64_t offset : {0 * 4096, 2 * 4096, 4 * 4096, 5 * 4096, 6 * 4096})
      if (pages[offset] != expected_at(offset)) return 2;
    return 0;
  });
  serve();
  application.tell();
  EXPECT_EQ(application.exit_code(), 0);
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
      const Userfault userfault = Userfault::open();
      userfault.register_missing(mapping.page_span());
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
