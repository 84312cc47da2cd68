#include "harness/peer_process.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <stdexcept>
#include <unistd.h>

namespace memsync {

PeerProcess::PeerProcess(ProcessSetup setup) {
  const auto nothing = FileDescriptor::open("/dev/null", O_RDONLY);
  auto [said, stdout_end] = FileDescriptor::pipe();
  auto [complained, stderr_end] = FileDescriptor::pipe();
  setup.descriptors = {{nothing.get(), 0}, {stdout_end.get(), 1}, {stderr_end.get(), 2}};
  setup.group = ProcessGroup::killed_with_it;
  process_ = Process::start(setup);
  output_ = {.pipe = std::move(said), .text_max = kOutputMax};
  complaints_ = {.pipe = std::move(complained), .text_max = kComplaintMax};
}

void PeerProcess::add_waits(std::vector<pollfd>& waits) const {
  for (const Ear* ear : {&output_, &complaints_})
    if (ear->pipe.is_open()) waits.push_back({ear->pipe.get(), POLLIN, 0});
  if (!end_) waits.push_back({process_->descriptor().get(), POLLIN, 0});
}

void PeerProcess::Ear::listen() {
  std::array<char, 16 << 10> piece;
  // As much as a pipe holds, so that one who never stops talking doesn't keep us here.
  for (int taken = 0; taken < 8 && pipe.is_open(); ++taken) {
    const ssize_t got = ::read(pipe.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) pipe = FileDescriptor{};
    if (got <= 0) return;
    const size_t room = text_max - text.size();
    is_cut = is_cut || static_cast<size_t>(got) > room;
    text.append(piece.data(), std::min(static_cast<size_t>(got), room));
  }
}

void PeerProcess::listen() {
  output_.listen();
  complaints_.listen();
}

const std::optional<ProcessEnd>& PeerProcess::end() {
  if (!end_) end_ = process_->wait_until(Clock::now());
  if (end_) listen();
  return end_;
}

ProcessEnd PeerProcess::stop() {
  process_->kill(SIGKILL);
  while (!end_) end_ = process_->wait_until(Deadline::max());
  return *end_;
}

}  // namespace memsync
