#include "harness/agent_process.h"

#include <algorithm>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include "harness/cleaner.h"
#include "lib/os/error.h"

namespace memsync {

namespace {

constexpr int kControlNumber = 3;
constexpr int kSharedMemoryNumber = 4;
constexpr auto kMessageLimit = std::chrono::seconds(30);
constexpr timeval kDialLimit{10, 0};

FileDescriptor dial_tcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos)
    throw std::invalid_argument("'" + address + "' is no agent's address: write HOST:PORT");
  const std::string host = address.substr(0, colon);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
      error != 0)
    throw std::runtime_error("looking up the agent " + address + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  FileDescriptor socket{
      check(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket")};
  const int on = 1;
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), "SO_KEEPALIVE");
  // Bounds connect(2) too (socket(7)).
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kDialLimit, sizeof kDialLimit),
        "SO_SNDTIMEO");
  check(::connect(socket.get(), found->ai_addr, found->ai_addrlen),
        "connecting to the agent " + address);
  return socket;
}

}  // namespace

Agent Agent::start(const AgentStart& setup) {
  auto [ours, theirs] = FileDescriptor::socket_pair();
  const auto log = FileDescriptor::open(setup.log_path, O_WRONLY | O_CREAT | O_APPEND);
  ProcessSetup process;
  // Through the kernel's own link, so that a rebuild meanwhile doesn't change what is measured.
  process.arguments = {"/proc/self/exe", "agent", "--control-fd", std::to_string(kControlNumber)};
  process.descriptors = {{theirs.get(), kControlNumber}, {log.get(), 1}, {log.get(), 2}};
  if (setup.shared_memory != nullptr) {
    process.arguments.insert(process.arguments.end(),
                             {"--shared-memory-fd", std::to_string(kSharedMemoryNumber)});
    process.descriptors.emplace_back(setup.shared_memory->get(), kSharedMemoryNumber);
  }
  process.network = setup.network;
  process.cpu = setup.cpu;
  Agent agent(setup.name, ControlChannel(std::move(ours)));
  agent.process_ = Process::start(process);
  return agent;
}

Agent Agent::dial(const std::string& name, const std::string& address, const std::string& token) {
  Agent agent(name, ControlChannel(dial_tcp(address)));
  agent.channel_.send({{"do", "authenticate"}, {"token", token}});
  const auto answer = agent.channel_.receive(after(std::chrono::seconds(10)));
  if (!answer || !answer->value("ok", false))
    throw std::runtime_error("the agent " + address +
                             " refused the token: pass the one it printed with --agent-token");
  return agent;
}

Agent::~Agent() {
  if (!process_ || process_->pid() < 0) return;
  const pid_t pid = process_->pid();
  process_.reset();
  remove_leftovers_of(pid);
}

void Agent::send(const nlohmann::json& request) {
  try {
    channel_.send(request);
  } catch (const std::system_error&) {
    // Its end is found, with the reason, where the answer is waited for.
  }
}

std::optional<RepetitionFailure> Agent::ended() {
  if (!process_) return std::nullopt;
  const auto end = process_->wait_until(Clock::now());
  if (!end) return std::nullopt;
  RepetitionFailure failure("crashed", "the " + name_ + "'s agent ended: " + end->describe());
  failure.exit_code = end->exit_code;
  if (end->signal != 0) failure.signal = end->signal;
  return failure;
}

nlohmann::json Agent::receive(Deadline deadline, InterruptWatch& interrupt) {
  while (true) {
    interrupt.check();
    pollfd waits[] = {{channel_.descriptor().get(), POLLIN, 0},
                      {interrupt.descriptor().get(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) throw RepetitionFailure("timeout", "the " + name_ + " did not answer in time");
    const int ready = ::poll(waits, 2, static_cast<int>(std::min<int64_t>(left, 1'000'000)));
    if (ready < 0 && errno != EINTR) throw_errno("waiting for the " + name_);
    if (ready <= 0 || waits[0].revents == 0) continue;
    std::optional<nlohmann::json> answer;
    try {
      // It has begun to come: a long one may take longer than this look, but not for ever.
      answer = channel_.receive(after(kMessageLimit));
    } catch (const std::system_error&) {
      // Cut off inside a message: as good as closed.
    }
    if (!answer) {
      if (process_) process_->wait_until(after(std::chrono::seconds(5)));
      if (auto failure = ended()) throw RepetitionFailure(*failure);
      throw RepetitionFailure("crashed", "the " + name_ + "'s agent closed its line");
    }
    if (!answer->value("ok", false))
      throw RepetitionFailure("failed", name_ + ": " + answer->value("error", "no reason given"));
    return *answer;
  }
}

}  // namespace memsync
