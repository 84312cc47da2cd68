// A machine that refuses userfaultfd: one sentence with the next step, not a crash.
#include <array>
#include <cstddef>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "approaches/registry.h"
#include "lib/os/file_descriptor.h"

namespace memsync {

void register_userfaultfd(std::vector<const SyncStrategy*>& strategies);

namespace {

// Makes userfaultfd(2) fail with EPERM for this process, as a container's profile does.
bool refuse_userfaultfd() {
  std::array<sock_filter, 4> rules = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog program{static_cast<unsigned short>(rules.size()), rules.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// What the approach says it lacks, in a process that may not use userfaultfd in any way.
std::string unmet_without_permission() {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const FileDescriptor read_end{ends[0]};
  FileDescriptor write_end{ends[1]};
  const pid_t child = ::fork();
  if (child == 0) {
    // Another user can't open /dev/userfaultfd either, unless it was given to everybody.
    if (::setuid(65534) != 0 || ::access("/dev/userfaultfd", R_OK) == 0 || !refuse_userfaultfd())
      ::_exit(77);
    std::vector<const SyncStrategy*> strategies;
    register_userfaultfd(strategies);
    const Options options(strategies.at(0)->info().options, {});
    std::string text;
    for (const std::string& sentence : strategies.at(0)->unmet_requirements(options))
      text += sentence + "\n";
    write_all(write_end.get(), text.data(), text.size(), "telling the parent");
    ::_exit(0);
  }
  write_end = FileDescriptor{};
  std::string text(4096, '\0');
  const ssize_t got = ::read(read_end.get(), text.data(), text.size());
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return "skip";
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

TEST(UserfaultfdPermission, ThatIsMissingIsToldWithTheNextStep) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  const std::string unmet = unmet_without_permission();
  if (unmet == "skip") GTEST_SKIP() << "permission can't be taken away here";
  EXPECT_NE(unmet, "");
  EXPECT_NE(unmet.find("userfaultfd"), std::string::npos) << unmet;
  EXPECT_NE(unmet.find(';'), std::string::npos) << "no next step: " << unmet;
}

}  // namespace
}  // namespace memsync
