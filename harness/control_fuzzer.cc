// Whatever a stranger sends to an agent's port: messages, lengths, JSON, workloads.
#include <cstddef>
#include <cstdint>
#include <exception>
#include <sys/socket.h>

#include "harness/control_channel.h"
#include "harness/workload_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace memsync;
  auto [ours, theirs] = FileDescriptor::socket_pair();
  // Small enough for the socket's buffer, so that one thread can be both ends.
  if (size > 64U << 10) return 0;
  try {
    write_all(theirs.get(), data, size, "the fuzzer's bytes");
    ::shutdown(theirs.get(), SHUT_WR);
    ControlChannel channel(std::move(ours));
    while (const auto message = channel.receive(after(std::chrono::seconds(5)), 64U << 10))
      if (message->contains("workload")) workload_from_json((*message)["workload"]);
  } catch (const std::exception&) {
    // Refused, as it should be.
  }
  return 0;
}
