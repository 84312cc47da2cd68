#include <stdexcept>

#include "approaches/registry.h"
#include "approaches/userfaultfd/sides.h"
#include "lib/os/userfault.h"

namespace memsync {

void register_userfaultfd(std::vector<const SyncStrategy*>& strategies);

namespace userfaultfd {
namespace {

class Strategy : public SyncStrategy {
 public:
  const StrategyInfo& info() const noexcept override {
    static const StrategyInfo kInfo{
        .name = "userfaultfd",
        .summary =
            "pulls each page at its first touch, by default ahead of sequential readers; post-copy "
            "hand-over",
        .reference =
            "thesis, userfaultfd-based pull synchronization; Hines, Deshpande, Gopalan: "
            "Post-Copy Live Migration (SIGOPS OSR 43.3, 2009)",
        .can = {.source_before = Access::read_write,
                .destination_before = Access::read,
                .destination_after = Access::read_write,
                .writes_reach_peer = false,
                .tracks_writes = true,  // where the kernel or the option `track` lets it
                .readable_before_complete = true},
        .options = option_specs(),
        .attachment = "userfaultfd",
        .transport = "native"};
    return kInfo;
  }

  std::vector<std::string> unmet_requirements(const Options& options) const override {
    try {
      const Settings settings = settings_from(options);
      auto problems = Userfault::problems(memory_wishes(settings));
      if (!problems.empty() || settings.tracking == Userfault::WriteTracking::none) return problems;
      return Userfault::problems({.tracking = settings.tracking});
    } catch (const std::invalid_argument& problem) {
      return {problem.what()};
    }
  }

  // Whoever's writes go back is the only one that writes: two would overwrite each other.
  Capabilities capabilities(const Options& options) const override {
    Capabilities can = info().can;
    if (options.text("writes") == "back") {
      can.source_before = Access::read;
      can.destination_before = Access::read_write;
      can.writes_reach_peer = true;
    }
    return can;
  }

  std::unique_ptr<Side> open_source(SideSetup setup) const override {
    const Settings settings = settings_of(setup);
    return std::make_unique<SourceSide>(std::move(setup), settings);
  }

  std::unique_ptr<Side> open_destination(SideSetup setup) const override {
    const Settings settings = settings_of(setup);
    return std::make_unique<DestinationSide>(std::move(setup), settings);
  }

 private:
  static Settings settings_of(const SideSetup& setup) {
    return settings_from(setup.options == nullptr ? Options(option_specs(), {}) : *setup.options);
  }
};

}  // namespace
}  // namespace userfaultfd

void register_userfaultfd(std::vector<const SyncStrategy*>& strategies) {
  static const userfaultfd::Strategy kStrategy;
  strategies.push_back(&kStrategy);
}

}  // namespace memsync
