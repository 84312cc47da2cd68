#include "approaches/mmap_push/settings.h"

#include <algorithm>
#include <array>
#include <bit>
#include <filesystem>
#include <stdexcept>

#include "lib/os/temporary_folder.h"
#include "lib/os/userfault.h"
#include "lib/region/quantity.h"

namespace memsync::mmap_push {

namespace {

constexpr std::array kOptions = {
    OptionSpec{
        "detect", "auto", "",
        "how the source finds what was written: by hashing every chunk; comparing with a copy; "
        "the kernel's marks on written pages; a fault at each page's first write; soft-dirty "
        "bits; the file's time; inotify; auto: scan where the kernel has it, else hash",
        "auto|hash|shadow|scan|faults|soft-dirty|mtime|inotify"},
    OptionSpec{"hash", "xxh3-128", "", "detect hash: the algorithm",
               "xxh3-64|xxh3-128|crc32|crc32c|sha256|blake2b"},
    kTlsOption,
    OptionSpec{"workers", "0", "count",
               "detect hash and shadow: threads that compare, 0: one per CPU"},
    OptionSpec{"block", "chunk", "",
               "the unit that is compared and sent: a power of two from 4KiB to 1MiB, or the "
               "workload's chunk"},
    OptionSpec{
        "protocol", "memsync", "",
        "ours, or the thesis's (its hashes are CRC32, its blocks hashed on both sides in each "
        "round)",
        "memsync|thesis"},
    OptionSpec{"consistency", "fuzzy", "",
               "what a round publishes: chunks of different moments; of one moment at which nobody "
               "wrote; of one moment for which the writer was stopped",
               "fuzzy|quiet|snapshot"},
    OptionSpec{
        "publish", "versions", "",
        "what a reader at the destination sees of a round: all or nothing, by two files that "
        "change places, or its chunks as they come",
        "versions|in_place"},
    OptionSpec{"compress", "off", "", "runs of chunks that become shorter by it (level 1)",
               "off|zstd"},
    OptionSpec{"durable", "off", "",
               "whether a round is on the destination's disk when it is published", "off|on"},
    OptionSpec{"msync", "off", "", "asked of the kernel before a round looks for changes",
               "off|async|sync"},
    OptionSpec{"file", "memory", "",
               "where both files are: in memory, or in the temporary folder, on a disk",
               "memory|disk"},
    OptionSpec{"interval", "0s", "duration",
               "the source also looks for changes by itself that often; 0s: only when asked"}};

constexpr unsigned kWorkersMax = 64;

[[noreturn]] void refuse(const std::string& option, const std::string& sentence) {
  throw std::invalid_argument("option '" + option + "': " + sentence);
}

DetectorKind best_offered() {
  return Userfault::problems({.tracking = Userfault::WriteTracking::scan}).empty()
             ? DetectorKind::scan
             : DetectorKind::hash;
}

uint32_t block_from(const Options& options, uint64_t chunk_bytes) {
  if (options.text("block") == "chunk")
    return static_cast<uint32_t>(std::clamp<uint64_t>(chunk_bytes, 4096, kBlockBytesMax));
  const uint64_t block = parse_bytes(options.text("block"));
  if (!std::has_single_bit(block) || block < 4096 || block > kBlockBytesMax)
    refuse("block", options.text("block") + " is no power of two from 4KiB to 1MiB, nor 'chunk'");
  return static_cast<uint32_t>(block);
}

}  // namespace

std::span<const OptionSpec> option_specs() noexcept {
  return kOptions;
}

Settings settings_from(const Options& options, uint64_t chunk_bytes) {
  Settings settings;
  const auto is = [&](const char* option, const char* value) {
    return options.text(option) == value;
  };
  settings.protocol = is("protocol", "thesis") ? Protocol::thesis : Protocol::memsync;
  settings.detector =
      is("detect", "auto") ? best_offered() : detector_kind_named(options.text("detect")).value();
  settings.hash = hash_algorithm_named(options.text("hash")).value();
  const uint64_t workers = options.count("workers");
  if (workers > kWorkersMax)
    refuse("workers", "at most " + std::to_string(kWorkersMax) + " threads compare");
  settings.workers = static_cast<unsigned>(workers);
  settings.sender.block_bytes = block_from(options, chunk_bytes);
  settings.sender.consistency = is("consistency", "quiet")      ? Consistency::quiet
                                : is("consistency", "snapshot") ? Consistency::snapshot
                                                                : Consistency::fuzzy;
  settings.sender.compression = is("compress", "zstd") ? Compression::zstd : Compression::off;
  settings.publish = is("publish", "in_place") ? Publish::in_place : Publish::versions;
  settings.durable = is("durable", "on") ? Durable::on : Durable::off;
  settings.msync = is("msync", "sync")    ? Msync::sync
                   : is("msync", "async") ? Msync::async
                                          : Msync::off;
  settings.in_memory = is("file", "memory");
  settings.interval = options.duration("interval");
  if (settings.protocol == Protocol::thesis) {
    // What its messages have no words for.
    for (const char* option :
         {"detect", "hash", "consistency", "publish", "compress", "durable", "interval"})
      if (const auto& spec =
              *std::ranges::find(kOptions, std::string_view(option), &OptionSpec::name);
          options.text(option) != spec.default_value)
        refuse(option,
               "the protocol of the thesis has no choice of it; leave it or choose "
               "protocol=memsync");
  }
  return settings;
}

std::string place_of(const Settings& settings) {
  return settings.in_memory ? kMemoryFolder : std::filesystem::temp_directory_path().string();
}

}  // namespace memsync::mmap_push
