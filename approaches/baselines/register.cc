#include <array>
#include <stdexcept>

#include "approaches/baselines/floor.h"
#include "approaches/baselines/openssl_copy.h"
#include "approaches/baselines/placed_memory.h"
#include "approaches/baselines/rsync.h"
#include "approaches/baselines/rsync_settings.h"
#include "approaches/baselines/sigsegv.h"
#include "approaches/baselines/tcp_copy.h"
#include "approaches/baselines/uffd_copy.h"
#include "approaches/registry.h"

namespace memsync {

void register_baselines(std::vector<const SyncStrategy*>& strategies);

namespace {

// A baseline is told apart by its sides and by what it asks of the machine.
struct Ways {
  std::unique_ptr<Side> (*open_source)(SideSetup);
  std::unique_ptr<Side> (*open_destination)(SideSetup);
  std::vector<std::string> (*problems)(const Options&) = [](const Options&) {
    return std::vector<std::string>{};
  };
};

template <typename OneSide>
std::unique_ptr<Side> open_side(SideSetup setup) {
  return std::make_unique<OneSide>(std::move(setup));
}

std::unique_ptr<Side> open_staged_copy(SideSetup setup) {
  if (setup.options == nullptr) throw std::invalid_argument("tcp_uffd_copy needs its options");
  const tcp_copy::Landing landing{baselines::placed_unit_bytes(*setup.options)};
  return std::make_unique<tcp_copy::DestinationSide>(std::move(setup), landing);
}

class Baseline : public SyncStrategy {
 public:
  Baseline(const StrategyInfo& info, Ways ways) : info_(info), ways_(ways) {}
  const StrategyInfo& info() const noexcept override { return info_; }
  std::vector<std::string> unmet_requirements(const Options& options) const override {
    return ways_.problems(options);
  }
  std::unique_ptr<Side> open_source(SideSetup setup) const override {
    return ways_.open_source(std::move(setup));
  }
  std::unique_ptr<Side> open_destination(SideSetup setup) const override {
    return ways_.open_destination(std::move(setup));
  }

 private:
  const StrategyInfo info_;
  const Ways ways_;
};

constexpr std::array kCopyOptions = {kTlsOption};
constexpr StrategyInfo kTcpCopy{
    .name = "tcp_copy",
    .summary = "sends the whole region over one stream before anybody may read it",
    .reference = "the plain socket copy that each approach has to beat",
    .can = {.source_before = Access::read_write,
            .destination_before = Access::read,
            .writes_reach_peer = true,
            .destinations_max = 64},
    .options = kCopyOptions,
    .attachment = "memory",
    .transport = "stream",
    .payload_is_exact = true};

constexpr StrategyInfo kOpensslCopy{
    .name = "openssl_copy",
    .summary = "tcp_copy by SSL_write and SSL_read alone, 16 KiB a call: what TLS here is held to",
    .reference = "OpenSSL's own stream, without us",
    .can = kTcpCopy.can,
    .attachment = "memory",
    .transport = "openssl",
    .payload_is_exact = true};

constexpr StrategyInfo kFloor{
    .name = "floor",
    .summary = "both sides map one memory file: no traffic, the harness's own floor",
    .reference = "what measuring itself costs",
    .can = {.source_before = Access::read_write,
            .destination_before = Access::read,
            .destination_after = Access::read_write,
            .writes_reach_peer = true,
            .readable_before_complete = true,
            .destinations_max = 64,
            .shares_memory = true},
    .attachment = "memory",
    .payload_is_exact = true};  // none at all

constexpr StrategyInfo kUffdCopy{
    .name = "uffd_copy",
    .summary = "UFFDIO_COPY of bytes that are here already, without a fault: a ceiling",
    .reference = "what userfaultfd costs when nobody waits for it",
    .can = {.source_before = Access::read, .destination_before = Access::read},
    .attachment = "userfaultfd"};

constexpr std::array kStagedOptions = {baselines::kPlacedUnit};
constexpr StrategyInfo kTcpUffdCopy{
    .name = "tcp_uffd_copy",
    .summary = "tcp_copy into one buffer that stays warm, placed by UFFDIO_COPY: a ceiling",
    .reference = "what a bulk pull over a stream can reach",
    .can = kTcpCopy.can,
    .options = kStagedOptions,
    .attachment = "userfaultfd",
    .transport = "stream",
    .payload_is_exact = true};

constexpr StrategyInfo kSigsegv{
    .name = "sigsegv",
    .summary =
        "brings each page at its first touch by a SIGSEGV handler and mprotect, the older way",
    .reference = "Li, Hudak: Memory Coherence in Shared Virtual Memory Systems (TOCS 7.4, 1989)",
    .can = {.source_before = Access::read_write,
            .destination_before = Access::read,
            .readable_before_complete = true},
    .attachment = "mprotect",
    .transport = "native"};

// No payload_is_exact: block checksums are cut so short that about one run in a thousand finds a
// false match, notices it by the file's checksum and sends that file again.
constexpr StrategyInfo kRsync{
    .name = "rsync",
    .summary = "the rsync program, its daemon at the destination, run once per sync()",
    .reference = "Tridgell, Mackerras: The rsync algorithm (ANU TR-CS-96-05, 1996)",
    .can = {.source_before = Access::read_write,
            .destination_before = Access::read,
            .writes_reach_peer = true,
            .source_dials = true},
    .attachment = "file",
    .transport = "rsync"};

// Options that another file holds are no constants of this one.
StrategyInfo with_options(StrategyInfo info, std::span<const OptionSpec> options) {
  info.options = options;
  return info;
}

}  // namespace

void register_baselines(std::vector<const SyncStrategy*>& strategies) {
  static const Baseline kBaselines[] = {
      {kTcpCopy, {open_side<tcp_copy::SourceSide>, open_side<tcp_copy::DestinationSide>}},
      {kOpensslCopy,
       {open_side<openssl_copy::SourceSide>, open_side<openssl_copy::DestinationSide>}},
      {kFloor, {open_side<floor::SourceSide>, open_side<floor::DestinationSide>}},
      {with_options(kUffdCopy, uffd_copy::option_specs()),
       {open_side<uffd_copy::SourceSide>, open_side<uffd_copy::DestinationSide>,
        baselines::placing_problems}},
      {kTcpUffdCopy,
       {open_side<tcp_copy::SourceSide>, open_staged_copy, baselines::placing_problems}},
      {with_options(kSigsegv, sigsegv::option_specs()),
       {open_side<sigsegv::SourceSide>, open_side<sigsegv::DestinationSide>, sigsegv::problems}},
      {with_options(kRsync, rsync::option_specs()),
       {open_side<rsync::SourceSide>, open_side<rsync::DestinationSide>, rsync::problems}}};
  for (const Baseline& baseline : kBaselines) strategies.push_back(&baseline);
}

}  // namespace memsync
