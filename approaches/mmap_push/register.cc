#include <filesystem>
#include <stdexcept>

#include "approaches/mmap_push/sides.h"
#include "approaches/mmap_push/star_source_side.h"
#include "approaches/mmap_push/thesis_sides.h"
#include "approaches/registry.h"

namespace memsync {

void register_mmap_push(std::vector<const SyncStrategy*>& strategies);

namespace mmap_push {
namespace {

constexpr uint32_t kDestinationsMax = 64;

Settings settings_of(const SideSetup& setup) {
  if (setup.options == nullptr) throw std::invalid_argument("mmap_push needs its options");
  return settings_from(*setup.options, setup.geometry.chunk_bytes);
}

// What this machine lacks, one sentence: a page is watched to see whether it can be.
std::string unmet_by_machine(const Settings& settings) {
  const std::string place = place_of(settings);
  std::error_code ignored;
  if (!std::filesystem::is_directory(place, ignored) || is_in_memory(place) != settings.in_memory)
    return settings.in_memory
               ? place + " is no memory file system: choose file=disk"
               : "the temporary folder " + place +
                     " is not on a disk: set TMPDIR to one that is, or choose file=memory";
  try {
    const TemporaryFolder folder = TemporaryFolder::make(place);
    RegionSource(folder.path(), Geometry{.size_bytes = 4096}, settings).start_detecting();
  } catch (const std::exception& problem) {
    return problem.what();
  }
  return "";
}

class Strategy : public SyncStrategy {
 public:
  const StrategyInfo& info() const noexcept override {
    static const StrategyInfo kInfo{
        .name = "mmap_push",
        .summary =
            "finds what was written to a mapped file and sends only that; pre-copy hand-over",
        .reference =
            "thesis, mmap and hash push synchronization; Tridgell, Mackerras: The rsync algorithm "
            "(1996); Clark et al.: Live Migration of Virtual Machines (NSDI 2005)",
        .can = {.source_before = Access::read_write,
                .destination_before = Access::read,
                .destination_after = Access::read_write,
                .writes_reach_peer = true,
                .tracks_writes = true,  // where the kernel or the option `detect` lets it
                .destinations_max = kDestinationsMax},
        .options = option_specs(),
        .attachment = "mmap",
        .transport = "push"};
    return kInfo;
  }

  std::vector<std::string> unmet_requirements(const Options& options) const override {
    try {
      const std::string problem = unmet_by_machine(settings_from(options));
      return problem.empty() ? std::vector<std::string>{} : std::vector{problem};
    } catch (const std::invalid_argument& problem) {
      return {problem.what()};
    }
  }

  Capabilities capabilities(const Options& options) const override {
    Capabilities can = info().can;
    if (options.text("protocol") == "thesis") {
      can.destination_after = Access::none;  // its messages know no hand-over
      can.tracks_writes = false;
    }
    // Several at once: one connection and one thread each, and nobody can stop the writer for one.
    if (options.text("protocol") == "thesis" || options.text("consistency") != "fuzzy" ||
        options.duration("interval") > Nanoseconds::zero())
      can.destinations_max = 1;
    if (options.text("detect") == "hash" || options.text("detect") == "shadow")
      can.tracks_writes = false;
    return can;
  }

  std::unique_ptr<Side> open_source(SideSetup setup) const override {
    const Settings settings = settings_of(setup);
    if (settings.protocol == Protocol::thesis)
      return std::make_unique<ThesisSourceSide>(std::move(setup), settings);
    if (setup.destinations > 1) return std::make_unique<StarSourceSide>(std::move(setup), settings);
    return std::make_unique<SourceSide>(std::move(setup), settings);
  }
  std::unique_ptr<Side> open_destination(SideSetup setup) const override {
    const Settings settings = settings_of(setup);
    if (settings.protocol == Protocol::thesis)
      return std::make_unique<ThesisDestinationSide>(std::move(setup), settings);
    return std::make_unique<DestinationSide>(std::move(setup), settings);
  }
};

}  // namespace
}  // namespace mmap_push

void register_mmap_push(std::vector<const SyncStrategy*>& strategies) {
  static const mmap_push::Strategy kStrategy;
  strategies.push_back(&kStrategy);
}

}  // namespace memsync
