// The approach's options, read and checked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "approaches/mmap_push/sender.h"
#include "approaches/mmap_push/version_file.h"
#include "approaches/sync_strategy.h"
#include "lib/detection/change_detector.h"

namespace memsync::mmap_push {

// Ours, or the thesis's as it stands in thesis/README.md.
enum class Protocol : uint8_t { memsync, thesis };
// What is asked of the kernel before a round looks for changes: nothing, to begin writing the
// mapping's dirty pages to the file's disk, or to have done so (msync(2)).
enum class Msync : uint8_t { off, async, sync };

struct Settings {
  Protocol protocol = Protocol::memsync;
  DetectorKind detector{};
  HashAlgorithm hash{};
  unsigned workers = 0;
  SenderSettings sender;
  Publish publish = Publish::versions;
  Durable durable = Durable::off;
  Msync msync = Msync::off;
  bool in_memory = true;   // where both files are
  Nanoseconds interval{};  // the source syncs by itself that often; 0: when it is asked
};

std::span<const OptionSpec> option_specs() noexcept;
// Throws std::invalid_argument, one sentence. `chunk_bytes`: what `block` is by default.
Settings settings_from(const Options& options, uint64_t chunk_bytes = 4096);
// The folder below which a side keeps its file.
std::string place_of(const Settings& settings);

}  // namespace memsync::mmap_push
