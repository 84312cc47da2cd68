// A child process that dies with its parent, and a helper that runs a tool to its end.
#pragma once

#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "lib/os/clock.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/network_namespace.h"

namespace memsync {

// own: a Ctrl-C at the terminal reaches the parent alone, which decides. killed_with_it: one of its
// own, and whoever it started and left there is killed when it has ended, and with it, as long
// as its parent lives.
enum class ProcessGroup : uint8_t { own, of_the_parent, killed_with_it };

struct ProcessSetup {
  std::vector<std::string> arguments{};  // [0]: the program, a path or a name looked up in PATH
  const NetworkNamespace* network = nullptr;       // where it runs; null: here
  std::vector<std::pair<int, int>> descriptors{};  // (our number, its number), incl. 0, 1, 2
  std::vector<std::string> environment{};          // "NAME=value", added to ours
  std::optional<unsigned> cpu{};                   // the one CPU it may use; empty: any
  ProcessGroup group = ProcessGroup::own;
};

// How a process ended. Exactly one of exit_code and signal is meaningful (signal != 0).
struct ProcessEnd {
  int exit_code = 0;
  int signal = 0;
  rusage usage{};
  std::string describe() const;  // "exit code 3", "killed by signal 9 (Killed)"
};

// Every child's environment has kConductorToken=<our pid>:<our start>, so that whoever cleans up
// can tell what is ours and whether its parent still lives.
inline constexpr const char* kConductorToken = "MEMSYNC_CONDUCTOR";
// "<pid>:<start>" of a living process, with the kernel's start time so that a pid used again is
// another process; "" when there is none.
std::string process_identity(pid_t pid);

// A running child. It gets SIGKILL when the *thread* that started it ends (PR_SET_PDEATHSIG), so
// start long-lived children from the main thread. The destructor kills and reaps. Move-only.
class Process {
 public:
  // Throws std::system_error when the program can't be started ("starting <program>").
  static Process start(const ProcessSetup& setup);

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  pid_t pid() const noexcept { return pid_; }
  // Becomes readable when the process has ended (pidfd_open(2)).
  const FileDescriptor& descriptor() const noexcept { return pidfd_; }
  // Waits until it has ended or the deadline passed; nullopt then. May be called again.
  std::optional<ProcessEnd> wait_until(Deadline deadline);
  void kill(int signal) noexcept;

 private:
  Process(pid_t pid, FileDescriptor pidfd, bool ends_its_group)
      : pid_(pid), pidfd_(std::move(pidfd)), ends_its_group_(ends_its_group) {}
  void end_group() const noexcept;

  pid_t pid_ = -1;
  FileDescriptor pidfd_;
  bool ends_its_group_ = false;
  std::optional<ProcessEnd> end_;
};

// Where a program is that Process and run_tool() would start by this name; nullopt: nowhere.
std::optional<std::string> find_program(const std::string& name);

struct ToolResult {
  ProcessEnd end;
  std::string output;  // stdout and stderr as they came, at most 1 MiB
  bool ok() const { return end.signal == 0 && end.exit_code == 0; }
};

// Runs a tool such as ip(8) to its end, `input` on its stdin. After `limit` it is killed.
ToolResult run_tool(std::vector<std::string> arguments, const std::string& input = {},
                    const NetworkNamespace* network = nullptr,
                    Nanoseconds limit = std::chrono::seconds(30));

}  // namespace memsync
