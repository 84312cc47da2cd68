// The conductor's handle of one agent: a process of its own, or a line to another machine.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "harness/control_channel.h"
#include "harness/interrupt.h"
#include "lib/os/network_namespace.h"
#include "lib/os/process.h"

namespace memsync {

// How a repetition ends that is not ok: a status of the vocabulary and its sentence.
struct RepetitionFailure : std::runtime_error {
  RepetitionFailure(std::string status_, const std::string& detail)
      : std::runtime_error(detail), status(std::move(status_)) {}
  std::string status;
  std::optional<int> exit_code, signal;  // of the agent's process
};

struct AgentStart {
  std::string name;                           // "source", "destination0": for messages
  const NetworkNamespace* network = nullptr;  // null: this host's
  std::optional<unsigned> cpu;
  std::string log_path;  // what it says on stdout and stderr
  const FileDescriptor* shared_memory = nullptr;
};

// Threads: one.
class Agent {
 public:
  // A fresh process of this program. Dies with the conductor.
  static Agent start(const AgentStart& setup);
  // An agent that listens at "HOST:PORT" and knows the token.
  static Agent dial(const std::string& name, const std::string& address, const std::string& token);
  Agent(Agent&&) = default;
  Agent& operator=(Agent&&) = default;
  // A process of ours is killed if it still lives; what it then leaves behind is removed.
  ~Agent();

  void send(const nlohmann::json& request);
  // The answer to the request sent last. Throws RepetitionFailure: `timeout` at the deadline,
  // `crashed` when the process ended, `failed` when the answer is an error. Throws Interrupted.
  nlohmann::json receive(Deadline deadline, InterruptWatch& interrupt);
  nlohmann::json call(const nlohmann::json& request, Deadline deadline, InterruptWatch& interrupt) {
    send(request);
    return receive(deadline, interrupt);
  }
  // The failure of an agent that has ended on its own; nullopt while it lives.
  std::optional<RepetitionFailure> ended();
  bool is_local() const noexcept { return process_.has_value(); }
  const std::string& name() const noexcept { return name_; }

 private:
  Agent(std::string name, ControlChannel channel)
      : name_(std::move(name)), channel_(std::move(channel)) {}
  std::string name_;
  ControlChannel channel_;
  std::optional<Process> process_;
};

}  // namespace memsync
