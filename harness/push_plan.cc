#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <set>
#include <stdexcept>

#include "approaches/mmap_push/wire.h"
#include "approaches/options.h"
#include "harness/push.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

// NAME=PATH, or PATH, which may contain a '=' when there is such a file.
PushPlan::File file_of(const std::string& word) {
  const size_t equals = word.find('=');
  std::error_code ignored;
  if (equals != std::string::npos && !std::filesystem::exists(word, ignored))
    return {word.substr(0, equals), word.substr(equals + 1)};
  return {std::filesystem::path(word).filename().string(), word};
}

std::vector<PushPlan::File> files_of(const std::vector<std::string>& words) {
  if (words.size() < 2)
    throw std::invalid_argument(
        "say which files and where to, the address last: memsync push FILE... ADDRESS");
  if (words.size() - 1 > mmap_push::kFilesMax)
    throw std::invalid_argument(
        fmt::format("{} files; one push takes {}", words.size() - 1, mmap_push::kFilesMax));
  std::vector<PushPlan::File> files;
  std::set<std::string> names;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    files.push_back(file_of(words[i]));
    const auto& [name, path] = files.back();
    if (const std::string problem = mmap_push::name_problem(name); !problem.empty())
      throw std::invalid_argument(problem + "; choose one: NAME=PATH");
    if (!names.insert(name).second)
      throw std::invalid_argument(fmt::format(
          "two files would be called '{}' at the receiver; name one of them: NAME={}", name, path));
  }
  return files;
}

Nanoseconds interval_of(const PushOptions& options) {
  if (options.interval.empty()) return {};
  if (options.once)
    throw std::invalid_argument("--once and --interval exclude each other; choose one");
  const Nanoseconds interval = parse_duration(options.interval);
  if (interval <= Nanoseconds::zero())
    throw std::invalid_argument("--interval " + options.interval + ": more than nothing, like 1s");
  return interval;
}

}  // namespace

PushPlan plan_of(const PushOptions& options) {
  PushPlan plan;
  plan.files = files_of(options.words);
  plan.address = options.words.back();
  plan.interval = interval_of(options);
  plan.patience = parse_duration(options.patience);
  plan.settings = mmap_push::settings_from(Options(mmap_push::option_specs(), options.knobs));
  // `auto` is meant for memory of one's own; of a file of others only comparing sees every writer.
  if (!options.knobs.contains("detect") || options.knobs.at("detect") == "auto")
    plan.settings.detector = DetectorKind::hash;
  plan.has_own_block = options.knobs.contains("block");
  if (plan.settings.sender.consistency == mmap_push::Consistency::snapshot)
    throw std::invalid_argument(
        "a snapshot needs the help of who writes, and these files have writers of their own; "
        "choose --consistency quiet, and pause them, or fuzzy");
  plan.writers = options.writers == "any" ? WriterSet::all() : WriterSet{Writer::file_calls};
  plan.verify = options.verify;
  plan.tls = options.tls;
  plan.json = options.json;
  return plan;
}

uint32_t block_bytes_for(uint64_t size_bytes) {
  uint32_t block = 4096;
  while (block < mmap_push::kBlockBytesMax && size_bytes / block >= mmap_push::kBlocksMax / 4)
    block *= 2;
  return block;
}

}  // namespace memsync
