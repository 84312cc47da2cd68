// The kernel objects, each tried against the kernel itself.
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/clock.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/mapping.h"
#include "lib/os/network_namespace.h"
#include "lib/os/process.h"

namespace memsync {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool is_open(int number) {
  return ::fcntl(number, F_GETFD) >= 0;
}

TEST(FileDescriptor, ClosesItsNumberExactlyOnce) {
  int number = -1;
  {
    FileDescriptor first = FileDescriptor::open("/dev/null", O_RDONLY);
    number = first.get();
    const FileDescriptor second = std::move(first);
    EXPECT_FALSE(first.is_open());  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_EQ(second.get(), number);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(FileDescriptor, NamesThePathThatCannotBeOpened) {
  try {
    FileDescriptor::open("/nonexistent/file", O_RDONLY);
    FAIL() << "opened a file that is not there";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_STREQ(error.what(), "opening /nonexistent/file: No such file or directory");
  }
}

TEST(Mapping, IsAsLongAsAskedAndEndsInZerosUpToThePage) {
  const Mapping mapping = Mapping::anonymous(5000);
  EXPECT_EQ(mapping.bytes().size(), 5000u);
  EXPECT_EQ(mapping.page_span().size(), round_up_to_page(5000));
  std::memset(mapping.bytes().data(), 1, 5000);
  EXPECT_EQ(mapping.page_span().back(), std::byte{0});
}

TEST(Mapping, OfAMemoryFileIsSharedWithEveryOtherMappingOfIt) {
  const FileDescriptor file = FileDescriptor::memory_file("shared", 4097);
  const Mapping one = Mapping::shared(file, 4097);
  const Mapping two = Mapping::shared(file, 4097);
  one.bytes()[4096] = std::byte{42};
  EXPECT_EQ(two.bytes()[4096], std::byte{42});
}

TEST(Process, ReportsItsExitCodeAndItsSignal) {
  EXPECT_EQ(run_tool({"sh", "-c", "exit 3"}).end.exit_code, 3);
  EXPECT_EQ(run_tool({"sh", "-c", "kill -9 $$"}).end.signal, SIGKILL);
  EXPECT_EQ(run_tool({"sh", "-c", "kill -9 $$"}).end.describe(), "killed by signal 9 (Killed)");
}

TEST(Process, ThatCannotBeStartedIsAnErrorThatNamesIt) {
  try {
    Process::start({.arguments = {"/nonexistent/program"}});
    FAIL() << "started a program that is not there";
  } catch (const std::system_error& error) {
    EXPECT_STREQ(error.what(), "starting /nonexistent/program: No such file or directory");
  }
}

TEST(Process, GetsItsInputAndGivesItsOutput) {
  EXPECT_EQ(run_tool({"cat"}, "through the pipe").output, "through the pipe");
}

TEST(Process, PastItsLimitIsKilled) {
  const auto result = run_tool({"sleep", "60"}, "", nullptr, milliseconds(20));
  EXPECT_EQ(result.end.signal, SIGKILL);
}

TEST(Process, DiesWhenItsParentIsKilled) {
  // A middle process starts a sleeper through our class, tells its pid and is killed.
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  // The sleeper is orphaned to us, so that we can wait for its end instead of polling for it.
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const pid_t middle = ::fork();
  if (middle == 0) {
    const Process sleeper = Process::start({.arguments = {"sleep", "600"}});
    const pid_t pid = sleeper.pid();
    write_all(pipe_ends[1], &pid, sizeof pid, "telling the pid");
    ::pause();
  }
  pid_t sleeper = 0;
  read_all(pipe_ends[0], &sleeper, sizeof sleeper, "reading the pid");
  ::kill(middle, SIGKILL);
  ASSERT_EQ(::waitpid(middle, nullptr, 0), middle);
  int status = 0;
  ASSERT_EQ(::waitpid(sleeper, &status, 0), sleeper);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(Process, IsKilledAndReapedByItsDestructor) {
  pid_t pid = 0;
  {
    const Process sleeper = Process::start({.arguments = {"sleep", "600"}});
    pid = sleeper.pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Process, RunsOnTheCpuItIsPinnedTo) {
  const FileDescriptor output = FileDescriptor::memory_file("output", 0);
  Process process =
      Process::start({.arguments = {"sh", "-c", "grep Cpus_allowed_list: /proc/self/status"},
                      .descriptors = {{output.get(), 1}},
                      .cpu = 0});
  ASSERT_EQ(process.wait_until(after(seconds(10)))->exit_code, 0);
  char text[64] = {};
  ASSERT_GT(::pread(output.get(), text, sizeof text - 1, 0), 0);
  EXPECT_STREQ(text, "Cpus_allowed_list:\t0\n");
}

TEST(Process, CarriesTheTokenOfItsConductor) {
  EXPECT_EQ(run_tool({"sh", "-c", "printf $MEMSYNC_CONDUCTOR"}).output,
            process_identity(::getpid()));
  EXPECT_EQ(process_identity(99'999'999), "");
}

TEST(Process, KeepsDescriptorsApartWhoseNumbersCross) {
  const FileDescriptor one = FileDescriptor::memory_file("one", 0);
  const FileDescriptor two = FileDescriptor::memory_file("two", 0);
  Process process = Process::start({.arguments = {"sh", "-c", "echo first >&8; echo second >&9"},
                                    .descriptors = {{one.get(), 8}, {two.get(), 9}}});
  ASSERT_EQ(process.wait_until(after(seconds(10)))->exit_code, 0);
  char text[16] = {};
  ASSERT_EQ(::pread(one.get(), text, sizeof text, 0), 6);
  EXPECT_STREQ(text, "first\n");
  ASSERT_EQ(::pread(two.get(), text, sizeof text, 0), 7);
  EXPECT_STREQ(text, "second\n");
}

class NetworkNamespaces : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
  }
};

TEST_F(NetworkNamespaces, HaveDevicesOfTheirOwn) {
  const auto space = NetworkNamespace::create();
  const auto there = run_tool({"ip", "-o", "link"}, "", &space);
  ASSERT_TRUE(there.ok()) << there.output;
  EXPECT_THAT(there.output, testing::HasSubstr("lo: <LOOPBACK,UP"));
  EXPECT_EQ(std::count(there.output.begin(), there.output.end(), '\n'), 1) << there.output;
}

TEST_F(NetworkNamespaces, KeepTheirSysctlsToThemselves) {
  const auto space = NetworkNamespace::create();
  const auto here = NetworkNamespace::current();
  const std::string before = here.get_sysctl("net/ipv4/tcp_wmem");
  space.set_sysctl("net/ipv4/tcp_wmem", "4096 16384 123456");
  EXPECT_EQ(space.get_sysctl("net/ipv4/tcp_wmem"), "4096\t16384\t123456");
  EXPECT_EQ(here.get_sysctl("net/ipv4/tcp_wmem"), before);
}

TEST_F(NetworkNamespaces, LeaveNoNameBehind) {
  const auto count = [] {
    std::error_code none;
    std::filesystem::directory_iterator names("/run/netns", none);
    return none ? 0 : std::distance(begin(names), end(names));
  };
  const auto before = count();
  const auto space = NetworkNamespace::create();
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace memsync
