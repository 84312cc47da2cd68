// memsync-link: the process of the engine `tun`. It is started by a link, not by people.
//   memsync-link SOURCE_FD DESTINATION_FD CONTROL_FD key=value...
// Its parent's death ends it twice over: by the signal that it is started with, and by the end of
// file on the control socket.
#include <charconv>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "netem/emulator.h"

namespace {

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw std::invalid_argument("memsync-link: not a number: " + std::string(text));
  return value;
}

void set_option(memsync::LineShape& shape, std::string_view option) {
  const size_t equals = option.find('=');
  if (equals == std::string_view::npos)
    throw std::invalid_argument("memsync-link: expected key=value, got " + std::string(option));
  const std::string_view key = option.substr(0, equals);
  const uint64_t value = number(option.substr(equals + 1));
  if (key == "rate_bps") {
    shape.bits_per_second = value;
  } else if (key == "delay_ns") {
    shape.delay = memsync::Nanoseconds(value);
  } else if (key == "jitter_ns") {
    shape.jitter = memsync::Nanoseconds(value);
  } else if (key == "loss_ppb") {
    shape.loss_ratio = static_cast<double>(value) / 1e9;
  } else if (key == "queue_bytes") {
    shape.queue_bytes = value;
  } else if (key == "seed") {
    shape.seed = value;
  } else {
    throw std::invalid_argument("memsync-link: unknown option " + std::string(key));
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 4) throw std::invalid_argument("memsync-link is started by memsync, not by hand");
    memsync::EmulatorSetup setup;
    setup.source = memsync::FileDescriptor(static_cast<int>(number(argv[1])));
    setup.destination = memsync::FileDescriptor(static_cast<int>(number(argv[2])));
    setup.control = memsync::FileDescriptor(static_cast<int>(number(argv[3])));
    for (int i = 4; i < argc; ++i) set_option(setup.shape, argv[i]);
    memsync::run_emulator(std::move(setup));
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 64;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "memsync-link: %s\n", error.what());
    return 70;
  }
}
