#include "harness/agent.h"

#include <array>
#include <csignal>
#include <fmt/format.h>
#include <memory>
#include <netdb.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "harness/agent_session.h"
#include "harness/environment.h"
#include "harness/exit_codes.h"
#include "lib/os/access_faults.h"
#include "lib/os/error.h"
#include "lib/os/process.h"

namespace memsync {

namespace {

// A conductor that has nothing to say for this long is gone: its host may have vanished.
constexpr auto kIdleLimit = std::chrono::hours(24);
constexpr auto kStrangerLimit = std::chrono::seconds(5);  // to say the token
constexpr uint32_t kStrangerBytes = 4096;

std::string random_token() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw_errno("drawing a token");
  std::string token;
  for (const unsigned char byte : bytes) token += fmt::format("{:02x}", byte);
  return token;
}

// Takes as long for a wrong first letter as for a wrong last one.
bool same_token(const std::string& given, const std::string& wanted) {
  unsigned difference = given.size() == wanted.size() ? 0 : 1;
  for (size_t i = 0; i < wanted.size(); ++i)
    difference |= static_cast<unsigned char>(i < given.size() ? given[i] : 0) ^
                  static_cast<unsigned char>(wanted[i]);
  return difference == 0;
}

FileDescriptor listen_at(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size())
    throw std::invalid_argument("'" + address + "' is no address to listen at: write ADDRESS:PORT");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(address.substr(0, colon).c_str(), address.c_str() + colon + 1,
                                      &hints, &found);
      error != 0)
    throw std::invalid_argument("'" + address +
                                "' is no address to listen at: " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  FileDescriptor socket{
      check(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket")};
  const int on = 1;
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  check(::bind(socket.get(), found->ai_addr, found->ai_addrlen), "listening at " + address);
  check(::listen(socket.get(), 8), "listening at " + address);
  return socket;
}

// Lets a conductor in that knows the token; the session then runs in a process of its own, as it
// does on one machine.
void serve_connection(FileDescriptor connection, const std::string& token) {
  ControlChannel channel(connection.duplicate());
  const auto greeting = channel.receive(after(kStrangerLimit), kStrangerBytes);
  if (!greeting || !greeting->contains("token") || !(*greeting)["token"].is_string() ||
      !same_token((*greeting)["token"], token)) {
    channel.send({{"ok", false}, {"error", "wrong token"}});
    return;
  }
  channel.send({{"ok", true}});
  Process session = Process::start({.arguments = {program_path(), "agent", "--control-fd", "3"},
                                    .descriptors = {{connection.get(), 3}}});
  while (!session.wait_until(after(std::chrono::seconds(1)))) {
    pollfd line{connection.get(), POLLRDHUP, 0};
    // The conductor has hung up: its repetition is over, whatever the session still does.
    if (::poll(&line, 1, 0) > 0 && (line.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0)
      session.kill(SIGKILL);
  }
}

}  // namespace

int run_agent(ControlChannel channel, int shared_memory) {
  install_fault_guard();
  ::prctl(PR_SET_NAME, "memsync-agent");  // it was started as /proc/self/exe
  AgentSession session(shared_memory);
  while (true) {
    auto request = channel.receive(after(kIdleLimit));
    if (!request) return exit_code::kOk;
    nlohmann::json answer;
    try {
      answer = session.answer(*request);
      answer["ok"] = true;
    } catch (const std::exception& failure) {
      answer = {{"ok", false}, {"error", failure.what()}};
    }
    channel.send(answer);
  }
}

int listen_as_agent(const std::string& address, const std::string& token) {
  if (address.empty())
    throw std::invalid_argument("say where to listen: memsync agent --listen ADDRESS:PORT");
  const FileDescriptor listener = listen_at(address);
  const std::string secret = token.empty() ? random_token() : token;
  fmt::print(
      "agent listens at {}\ntoken {}\non the conductor: memsync run SUITE --source-agent HOST:PORT "
      "--destination-agent HOST:PORT --agent-token {}\n",
      address, secret, secret);
  std::fflush(stdout);
  while (true) {
    const int accepted = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    FileDescriptor connection{check(accepted, "accepting a conductor")};
    const int on = 1;
    ::setsockopt(connection.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    try {
      serve_connection(std::move(connection), secret);
    } catch (const std::system_error& failure) {
      fmt::print(stderr, "a conductor's line ended: {}\n", failure.what());
    }
  }
}

}  // namespace memsync
