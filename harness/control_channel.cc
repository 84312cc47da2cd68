#include "harness/control_channel.h"

#include <algorithm>
#include <array>
#include <poll.h>
#include <sys/socket.h>

#include "lib/os/error.h"

namespace memsync {

void ControlChannel::send(const nlohmann::json& message) {
  const std::string text = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kMaxMessageBytes) throw_errno("sending a control message", EMSGSIZE);
  const auto size = static_cast<uint32_t>(text.size());
  std::string frame(4, '\0');
  for (int i = 0; i < 4; ++i) frame[static_cast<size_t>(i)] = static_cast<char>(size >> (8 * i));
  frame += text;
  for (size_t sent = 0; sent < frame.size();) {
    const ssize_t count =
        ::send(socket_.get(), frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    sent += static_cast<size_t>(check(count, "sending a control message"));
  }
}

std::optional<nlohmann::json> ControlChannel::receive(Deadline deadline, uint32_t limit_bytes) {
  std::array<unsigned char, 4> header{};
  if (!read_exactly(header.data(), header.size(), deadline)) return std::nullopt;
  uint32_t size = 0;
  for (size_t i = 0; i < 4; ++i) size |= static_cast<uint32_t>(header[i]) << (8 * i);
  if (size > limit_bytes)
    throw_errno("a control message of " + std::to_string(size) + " bytes", EBADMSG);
  std::string text(size, '\0');
  if (size > 0 && !read_exactly(text.data(), size, deadline))
    throw_errno("receiving a control message", ECONNRESET);
  auto message = nlohmann::json::parse(text, nullptr, false);
  if (message.is_discarded() || !message.is_object())
    throw_errno("a control message that is no JSON object", EBADMSG);
  return message;
}

bool ControlChannel::read_exactly(void* into, size_t size, Deadline deadline) {
  auto* next = static_cast<char*>(into);
  for (size_t got = 0; got < size;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd readable{socket_.get(), POLLIN, 0};
    const int ready =
        ::poll(&readable, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000'000)));
    if (ready < 0 && errno == EINTR) continue;
    check(ready, "waiting for a control message");
    if (ready == 0) throw_errno("waiting for a control message", ETIMEDOUT);
    const ssize_t count = ::recv(socket_.get(), next + got, size - got, 0);
    if (count < 0 && errno == EINTR) continue;
    check(count, "receiving a control message");
    if (count == 0) {
      if (got == 0) return false;
      throw_errno("receiving a control message", ECONNRESET);
    }
    got += static_cast<size_t>(count);
  }
  return true;
}

}  // namespace memsync
