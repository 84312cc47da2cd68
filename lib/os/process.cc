#include "lib/os/process.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <sched.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/error.h"

extern char** environ;

namespace memsync {

namespace {

int milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000'000));
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (auto& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Everything between fork and exec: async-signal-safe calls only. Returns only on failure.
void become(const ProcessSetup& setup, const char* program, char** argv, char** envp, pid_t parent,
            std::vector<std::pair<int, int>>& descriptors) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::getppid() != parent) return;
  if (setup.group != ProcessGroup::of_the_parent) ::setpgid(0, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (setup.network != nullptr && ::setns(setup.network->descriptor().get(), CLONE_NEWNET) < 0)
    return;
  if (setup.cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(*setup.cpu, &cpus);
    if (::sched_setaffinity(0, sizeof cpus, &cpus) < 0) return;
  }
  // First out of the way of all targets, then into place, so that no target overwrites a source.
  int highest = 2;
  for (const auto& [ours, theirs] : descriptors) highest = std::max(highest, theirs);
  for (auto& [ours, theirs] : descriptors) {
    ours = ::fcntl(ours, F_DUPFD_CLOEXEC, highest + 1);
    if (ours < 0) return;
  }
  for (const auto& [ours, theirs] : descriptors)
    if (::dup2(ours, theirs) < 0) return;
  ::execve(program, argv, envp);
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  // The system's own directories last: tools such as ip live there and users' PATHs lack them.
  const std::string folders =
      std::string(path != nullptr ? path : "") + ":/usr/sbin:/sbin:/usr/bin:/bin";
  for (size_t start = 0; start < folders.size();) {
    const size_t colon = std::min(folders.find(':', start), folders.size());
    const std::string candidate = folders.substr(start, colon - start) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    start = colon + 1;
  }
  return std::nullopt;
}

std::string process_identity(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // The name in parentheses may hold spaces; the start time is the 20th field after it (proc(5)).
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int index = 0; index < 20; ++index) fields >> field;
  return std::to_string(pid) + ":" + field;
}

std::string ProcessEnd::describe() const {
  if (signal != 0)
    return "killed by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  return "exit code " + std::to_string(exit_code);
}

Process Process::start(const ProcessSetup& setup) {
  // Before the fork, where allocation is allowed.
  const auto found = find_program(setup.arguments.at(0));
  if (!found) throw_errno("starting " + setup.arguments.at(0), ENOENT);
  const std::string& program = *found;
  auto arguments = setup.arguments;
  std::vector<std::string> environment = setup.environment;
  environment.push_back(std::string(kConductorToken) + "=" + process_identity(::getpid()));
  const auto added = static_cast<std::ptrdiff_t>(environment.size());
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view name(*entry, std::strcspn(*entry, "=") + 1);
    const bool replaced =
        std::any_of(environment.begin(), environment.begin() + added,
                    [&](const std::string& ours) { return ours.starts_with(name); });
    if (!replaced) environment.emplace_back(*entry);
  }
  auto argv = pointers(arguments);
  auto envp = pointers(environment);
  auto descriptors = setup.descriptors;

  int failure_pipe[2];  // closes on a successful exec; carries errno otherwise
  check(::pipe2(failure_pipe, O_CLOEXEC), "pipe");
  const FileDescriptor read_end{failure_pipe[0]};
  FileDescriptor write_end{failure_pipe[1]};
  const pid_t parent = ::getpid();
  const pid_t pid = check(::fork(), "fork for " + program);
  if (pid == 0) {
    // The pipe's end may stand where a descriptor is wanted: move it out of the way first.
    const int report = ::fcntl(write_end.get(), F_DUPFD_CLOEXEC, 100);
    become(setup, program.c_str(), argv.data(), envp.data(), parent, descriptors);
    const int error = errno;
    [[maybe_unused]] const auto written = ::write(report, &error, sizeof error);
    ::_exit(127);
  }
  write_end = FileDescriptor{};
  Process process{pid, FileDescriptor{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))},
                  setup.group == ProcessGroup::killed_with_it};
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(read_end.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof error) throw_errno("starting " + program, error);
  check(process.pidfd_.get(), "pidfd_open for " + program);
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      ends_its_group_(other.ends_its_group_),
      end_(other.end_) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  std::swap(ends_its_group_, other.ends_its_group_);
  std::swap(end_, other.end_);
  return *this;
}

Process::~Process() {
  if (pid_ < 0 || end_) return;
  kill(SIGKILL);
  end_group();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<ProcessEnd> Process::wait_until(Deadline deadline) {
  while (!end_) {
    pollfd ended{pidfd_.get(), POLLIN, 0};
    const int ready = ::poll(&ended, 1, milliseconds_until(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      if (Clock::now() < deadline) continue;
      return std::nullopt;
    }
    end_group();
    int status = 0;
    ProcessEnd end;
    while (::wait4(pid_, &status, 0, &end.usage) < 0)
      if (errno != EINTR) throw_errno("waiting for process " + std::to_string(pid_));
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
    end_ = end;
  }
  return end_;
}

// Only before it is waited for: until then nobody else's group can have this number.
void Process::end_group() const noexcept {
  if (ends_its_group_) ::kill(-pid_, SIGKILL);
}

void Process::kill(int signal) noexcept {
  // Not yet waited for, so the number is still this process's.
  if (pid_ > 0 && !end_) ::kill(pid_, signal);
}

ToolResult run_tool(std::vector<std::string> arguments, const std::string& input,
                    const NetworkNamespace* network, Nanoseconds limit) {
  const FileDescriptor stdin_file = FileDescriptor::memory_file("stdin", 0);
  const FileDescriptor output_file = FileDescriptor::memory_file("output", 0);
  write_all(stdin_file.get(), input.data(), input.size(), "passing input to " + arguments.at(0));
  check(::lseek(stdin_file.get(), 0, SEEK_SET), "rewinding input");
  ProcessSetup setup;
  setup.arguments = std::move(arguments);
  setup.network = network;
  setup.descriptors = {{stdin_file.get(), 0}, {output_file.get(), 1}, {output_file.get(), 2}};
  Process process = Process::start(setup);
  auto end = process.wait_until(after(limit));
  if (!end) {
    process.kill(SIGKILL);
    end = process.wait_until(after(std::chrono::seconds(10)));
  }
  ToolResult result;
  result.end = end.value_or(ProcessEnd{.exit_code = 0, .signal = SIGKILL, .usage = {}});
  const off_t size =
      std::min<off_t>(check(::lseek(output_file.get(), 0, SEEK_END), "lseek"), 1 << 20);
  result.output.resize(static_cast<size_t>(size));
  [[maybe_unused]] const auto got =
      ::pread(output_file.get(), result.output.data(), result.output.size(), 0);
  return result;
}

}  // namespace memsync
