#include "approaches/baselines/rsync_settings.h"

#include <array>
#include <filesystem>
#include <stdexcept>

#include "approaches/baselines/rsync_control.h"
#include "approaches/baselines/rsync_program.h"
#include "lib/os/temporary_folder.h"

namespace memsync::rsync {

namespace {

constexpr uint64_t kBlockMax = 128 << 10;  // rsync's own, since its protocol 30

constexpr std::array kOptions = {
    OptionSpec{"mode", "delta", "", "what travels: differences, or the whole file (-W)",
               "delta|whole"},
    OptionSpec{
        "block", "0B", "bytes",
        "compared at once (-B), at most 128KiB; 0B: rsync's choice, about the root of the size"},
    OptionSpec{"inplace", "off", "",
               "whether the file is written where it is (--inplace), not beside it and renamed",
               "off|on"},
    OptionSpec{"nodelay", "off", "",
               "whether both ends set TCP_NODELAY (--sockopts), which rsync leaves to its user",
               "off|on"},
    OptionSpec{"file", "memory", "",
               "where both files are: in memory (/dev/shm), or in the temporary folder, on a disk",
               "memory|disk"}};

bool is_kept_in_memory(const Options& options) {
  return options.text("file") == "memory";
}

}  // namespace

std::span<const OptionSpec> option_specs() noexcept {
  return kOptions;
}

std::vector<std::string> problems(const Options& options) {
  const uint64_t block = options.bytes("block");
  if (block > kBlockMax)
    throw std::invalid_argument("option 'block': " + options.text("block") +
                                " is more than the 128KiB that rsync takes");
  std::vector<std::string> found;
  if (!find_program("rsync"))
    found.emplace_back("rsync is not installed: scripts/setup run (apt-get install rsync)");
  const std::string place = place_of(options);
  std::error_code ignored;
  const bool is_there = std::filesystem::is_directory(place, ignored);
  const bool in_memory = is_there && is_in_memory(place);
  if (is_kept_in_memory(options) && !in_memory)
    found.push_back(place + " is no memory file system: choose file=disk");
  if (!is_kept_in_memory(options) && (in_memory || !is_there))
    found.push_back("the temporary folder " + place +
                    " is not on a disk: set TMPDIR to one that is, or choose file=memory");
  return found;
}

SideSetup checked(SideSetup setup) {
  if (!setup.store || setup.network == nullptr || setup.options == nullptr)
    throw std::invalid_argument("rsync needs a store, a network and its options");
  if (setup.store->size_bytes() != setup.geometry.size_bytes)
    throw std::invalid_argument("rsync needs a store of the region's size");
  problems(*setup.options);
  return setup;
}

std::string place_of(const Options& options) {
  return is_kept_in_memory(options) ? kMemoryFolder
                                    : std::filesystem::temp_directory_path().string();
}

std::vector<std::string> socket_switches_of(const Options& options) {
  if (options.text("nodelay") == "off") return {};
  return {"--sockopts=TCP_NODELAY"};
}

// Nothing is compressed and nothing is fsynced: both are rsync's default.
std::vector<std::string> switches_of(const Options& options, const Network& network) {
  // rsync takes a file of the same size and time for the same file. Stores into a mapping move the
  // time late, on tmpfs never: so every file is compared. --checksum would read it once more first.
  std::vector<std::string> switches = {"--ignore-times",
                                       "--timeout=" + std::to_string(kStallLimit.count()),
                                       "--contimeout=" + std::to_string(kDialLimit.count()),
                                       "--address=" + network.address("source"),
                                       "--port=" + std::to_string(tcp_port(kDaemonService))};
  switches.emplace_back(options.text("mode") == "whole" ? "--whole-file" : "--no-whole-file");
  if (const uint64_t block = options.bytes("block"); block > 0)
    switches.push_back("--block-size=" + std::to_string(block));
  if (options.text("inplace") == "on") switches.emplace_back("--inplace");
  for (const std::string& one : socket_switches_of(options)) switches.push_back(one);
  return switches;
}

std::string url_of(const Network& network) {
  const std::string address = network.address("destination0");
  const bool is_six = address.find(':') != std::string::npos;
  return "rsync://" + (is_six ? "[" + address + "]" : address) + "/" + Daemon::kModule + "/" +
         kFile;
}

}  // namespace memsync::rsync
