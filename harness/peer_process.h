// A program of somebody else's, what it says kept within bounds, its whole process group ended.
#pragma once

#include <optional>
#include <poll.h>
#include <string>
#include <vector>

#include "lib/os/process.h"

namespace memsync {

// Threads: one.
class PeerProcess {
 public:
  static constexpr size_t kOutputMax = 64 << 10;     // on stdout; more is no line
  static constexpr size_t kComplaintMax = 64 << 10;  // on stderr; the rest is dropped

  // Its stdin is empty. Throws std::system_error when it can't be started.
  explicit PeerProcess(ProcessSetup setup);

  // Where it may have something new to say.
  void add_waits(std::vector<pollfd>& waits) const;
  // Takes what is there now, without waiting; a bounded amount of it.
  void listen();
  // How it ended; nullopt while it lives. What it said until then has been taken.
  const std::optional<ProcessEnd>& end();
  // Kills it and whom it started.
  ProcessEnd stop();

  const std::string& said() const noexcept { return output_.text; }
  bool said_a_line() const noexcept { return output_.text.find('\n') != std::string::npos; }
  bool said_too_much() const noexcept { return output_.is_cut; }
  const std::string& complaints() const noexcept { return complaints_.text; }

 private:
  struct Ear {
    FileDescriptor pipe{};
    size_t text_max = 0;
    std::string text{};
    bool is_cut = false;
    void listen();
  };
  Ear output_, complaints_;
  std::optional<Process> process_;
  std::optional<ProcessEnd> end_;
};

}  // namespace memsync
