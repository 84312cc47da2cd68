// The user-space link: takes packets from one TUN device, gives them to the other when it is time.
//
//   middle's kernel ── tunA ──> Line + PacketRing ──> tunB ── middle's kernel    (source -> dest.)
//                   <── tunA ── PacketRing + Line <── tunB ──
#pragma once

#include <cstdint>
#include <memory>

#include "lib/os/clock.h"
#include "lib/os/file_descriptor.h"
#include "netem/line.h"

namespace memsync {

struct EmulatorSetup {
  LineShape shape{};        // of each direction; the second gets seed + 1
  FileDescriptor source{};  // TUN devices, see lib/os/tun_device.h
  FileDescriptor destination{};
  FileDescriptor control{};  // a stream socket: one byte per request, echoed when it is done
};

// Requests on the control socket. End of file ends the emulator.
inline constexpr char kCutRequest = 'c';
inline constexpr char kMendRequest = 'm';
inline constexpr char kReadyNotice = 'r';  // sent by the emulator once, unasked

// Runs until the control socket is closed. One thread, no allocation per packet.
// Throws std::system_error when a device fails.
void run_emulator(EmulatorSetup setup);

}  // namespace memsync
