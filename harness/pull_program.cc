#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "harness/cleaner.h"
#include "harness/environment.h"
#include "harness/exit_codes.h"
#include "harness/pull.h"
#include "harness/pull_report.h"
#include "lib/os/error.h"
#include "lib/os/process.h"
#include "lib/os/userfault.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

namespace fs = std::filesystem;

constexpr Nanoseconds kPatience = std::chrono::seconds(5);  // after a signal, before the next

// The folder with the placeholder and the socket: both and nothing else are removed at the end.
class PullFolder {
 public:
  explicit PullFolder(uint64_t size) {
    const std::string own = kPullFolderPrefix + std::to_string(::getpid()) + "-XXXXXX";
    std::string name = (fs::temp_directory_path() / own).string();
    if (::mkdtemp(name.data()) == nullptr) throw_errno("making the folder " + name);
    path_ = name;
    try {
      const auto file = FileDescriptor::open(placeholder(), O_WRONLY | O_CREAT | O_EXCL, 0400);
      check(::ftruncate(file.get(), static_cast<off_t>(size)), "sizing " + placeholder());
    } catch (...) {
      remove_pull_folder(path_);
      throw;
    }
  }
  ~PullFolder() { remove_pull_folder(path_); }
  PullFolder(const PullFolder&) = delete;
  PullFolder& operator=(const PullFolder&) = delete;

  std::string placeholder() const { return path_ + "/" + kPullFiles[0]; }
  std::string socket() const { return path_ + "/" + kPullFiles[1]; }

 private:
  std::string path_;
};

// Sees what a program does with the placeholder other than mapping it: read(2) would give it zeros.
class PlaceholderWatch {
 public:
  explicit PlaceholderWatch(const std::string& placeholder)
      : events_(check(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify")) {
    check(::inotify_add_watch(events_.get(), placeholder.c_str(), IN_ACCESS | IN_OPEN),
          "watching " + placeholder);
  }
  const FileDescriptor& descriptor() const noexcept { return events_; }
  bool was_read() {
    take();
    return (seen_ & IN_ACCESS) != 0;
  }
  bool was_opened() {
    take();
    return (seen_ & IN_OPEN) != 0;
  }

 private:
  void take() {
    alignas(inotify_event) std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = ::read(events_.get(), buffer.data(), buffer.size())) > 0;) {
      for (ssize_t at = 0; at < got;) {
        const auto* event =
            reinterpret_cast<const inotify_event*>(&buffer[static_cast<size_t>(at)]);
        seen_ |= event->mask;
        at += static_cast<ssize_t>(sizeof *event + event->len);
      }
    }
  }
  FileDescriptor events_;
  uint32_t seen_ = 0;
};

std::string shim_path() {
  const std::string path = (fs::path(program_path()).parent_path() / "libmemsync-pull.so").string();
  return fs::exists(path) ? path : "";
}

Process start(std::vector<std::string> command, const PullFolder& folder, const std::string& shim) {
  for (std::string& word : command)
    for (size_t at = 0; (at = word.find("{}", at)) != std::string::npos;) {
      word.replace(at, 2, folder.placeholder());
      at += folder.placeholder().size();
    }
  const char* preloaded = std::getenv("LD_PRELOAD");
  const bool is_alone = preloaded == nullptr || *preloaded == '\0';
  ProcessSetup setup;
  setup.arguments = std::move(command);
  setup.environment = {"MEMSYNC_REGION=" + folder.placeholder(),
                       "MEMSYNC_HANDLER=" + folder.socket(),
                       "LD_PRELOAD=" + shim + (is_alone ? "" : ":" + std::string(preloaded))};
  // With the terminal: it may read from it, and Ctrl-C is for it as well.
  setup.group = ProcessGroup::of_the_parent;
  try {
    return Process::start(setup);
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(problem.what());
  }
}

// Asks it to end, then insists. A Ctrl-C at the terminal has reached it already, so it gets a
// moment before another signal does.
ProcessEnd end_program(Process& program) {
  if (const auto end = program.wait_until(after(std::chrono::seconds(1)))) return *end;
  program.kill(SIGTERM);
  if (const auto end = program.wait_until(after(kPatience))) return *end;
  program.kill(SIGKILL);
  return program.wait_until(Deadline::max()).value_or(ProcessEnd{});
}

enum class Outcome : uint8_t { ended, interrupted, read_placeholder };
Outcome wait_for(const Process& program, PlaceholderWatch& placeholder,
                 const InterruptWatch& interrupts) {
  while (true) {
    std::array<pollfd, 3> waits{{{program.descriptor().get(), POLLIN, 0},
                                 {interrupts.descriptor().get(), POLLIN, 0},
                                 {placeholder.descriptor().get(), POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
      throw_errno("waiting for the command");
    if (placeholder.was_read()) return Outcome::read_placeholder;
    if (waits[0].revents != 0) return Outcome::ended;
    if (waits[1].revents != 0) return Outcome::interrupted;
  }
}

// Our exit code: the command's, unless what it saw was not the region.
int conclude(Outcome outcome, const ProcessEnd& end, PlaceholderWatch& placeholder,
             const userfaultfd::FaultServer::Totals& totals) {
  if (outcome == Outcome::interrupted) return exit_code::kInterrupted;
  if (placeholder.was_read()) {
    tell_on_stderr(
        "the command reads the region with read(2) and would get zeros: let it map the file "
        "(mmap), or pull everything first with --out FILE");
    return exit_code::kIncomplete;
  }
  if (placeholder.was_opened() && totals.applications == 0)
    tell_on_stderr("the command opened the region but mapped nothing of it (a static program?)");
  const int code = end.signal != 0 ? 128 + end.signal : end.exit_code;
  return code == 0 && totals.bytes_lost > 0 ? exit_code::kIncomplete : code;
}

}  // namespace

int pull_for_program(userfaultfd::ServedFaults served, const PullOptions& options,
                     InterruptWatch& interrupts) {
  const std::string shim = shim_path();
  if (shim.empty()) {
    tell_on_stderr("libmemsync-pull.so is not beside " + program_path() + "; build it there");
    return exit_code::kUnsupported;
  }
  if (const auto problems = Userfault::problems({}); !problems.empty()) {
    tell_on_stderr(problems.front());  // what we may not open the command may not either
    return exit_code::kUnsupported;
  }
  const uint64_t size = served.region_bytes;
  const PullFolder folder(size);
  const auto network = make_address_network("unix:" + folder.socket());
  userfaultfd::FaultServer server(network->listen(""), std::move(served));
  PlaceholderWatch placeholder(folder.placeholder());
  Process program = start(options.command, folder, shim);
  const Outcome outcome = wait_for(program, placeholder, interrupts);
  if (outcome == Outcome::read_placeholder) program.kill(SIGTERM);
  const ProcessEnd end = end_program(program);
  const auto totals = server.totals();
  report(totals, size, options.json);
  return conclude(outcome, end, placeholder, totals);
}

}  // namespace memsync
