#include "approaches/baselines/sigsegv.h"

#include <algorithm>
#include <array>
#include <bit>
#include <stdexcept>

#include "lib/os/error.h"
#include "lib/transport/region_reader.h"

namespace memsync::sigsegv {

namespace {

constexpr std::string_view kService = "sigsegv";
constexpr uint64_t kUnitMax = 1 << 20;

constexpr std::array kOptions = {
    kBackendOption,
    OptionSpec{"unit", "4KiB", "bytes",
               "brought at a fault, around the page: a power of two, one page to 1 MiB"},
    OptionSpec{"deadline", "10s", "duration", "a fault not answered by then ends in SIGSEGV"}};

uint64_t unit_bytes_from(const Options& options) {
  const uint64_t unit = options.bytes("unit");
  if (!std::has_single_bit(unit) || unit < page_bytes() || unit > kUnitMax)
    throw std::invalid_argument("option 'unit': " + options.text("unit") +
                                " is no power of two from " + std::to_string(page_bytes()) +
                                "B (a page) to 1MiB");
  return unit;
}

SideSetup checked(SideSetup setup) {
  if (!setup.store || setup.network == nullptr || setup.transport == nullptr ||
      setup.options == nullptr)
    throw std::invalid_argument("sigsegv needs a store, a network, a transport and options");
  return setup;
}

std::unique_ptr<RegionService> connect(const SideSetup& setup) {
  if (setup.options->backend() != "peer") return nullptr;
  return setup.transport->connect(*setup.network, "source", kService, setup.geometry, setup.region,
                                  after(setup.connect_limit));
}

std::unique_ptr<Reader> open_bytes(const SideSetup& setup, RegionService* peer) {
  if (peer != nullptr)
    return std::make_unique<RegionReader>(*peer, setup.geometry.size_bytes,
                                          setup.options->duration("deadline"));
  if (!setup.open_copy) throw std::invalid_argument("sigsegv: there are no bytes at this host");
  return setup.open_copy();
}

}  // namespace

std::span<const OptionSpec> option_specs() noexcept {
  return kOptions;
}

std::vector<std::string> problems(const Options& options) {
  unit_bytes_from(options);
  return {};
}

SourceSide::SourceSide(SideSetup setup)
    : setup_(checked(std::move(setup))),
      local_(*setup_.store, nullptr, setup_.region,
             {.suspend_app = setup_.suspend_app,
              .resume_app = setup_.resume_app,
              .collect_dirty = {},
              .start_tracking = {},
              .released = {},
              .on_exchange = {}}),
      served_(setup_.transport->serve(*setup_.network, kService, setup_.geometry, setup_.region,
                                      local_)) {}

DestinationSide::DestinationSide(SideSetup setup)
    : setup_(checked(std::move(setup))),
      unit_bytes_(unit_bytes_from(*setup_.options)),
      peer_(connect(setup_)),
      bytes_(open_bytes(setup_, peer_.get())),
      file_(FileDescriptor::memory_file("memsync-sigsegv", setup_.geometry.size_bytes)),
      alias_(Mapping::shared(file_, setup_.geometry.size_bytes)),
      view_(Mapping::shared(file_, setup_.geometry.size_bytes, PROT_NONE)),
      units_((setup_.geometry.size_bytes + unit_bytes_ - 1) / unit_bytes_) {
  range_.emplace(view_.page_span(), static_cast<FaultRepair&>(*this));
}

// In the thread that touched the region, which holds no lock of this object.
bool DestinationSide::repair(std::byte* address) noexcept {
  const auto offset = static_cast<uint64_t>(address - view_.bytes().data());
  const uint64_t unit = offset / unit_bytes_;
  std::atomic<uint32_t>& state = units_[unit];
  uint32_t expected = missing;
  if (state.compare_exchange_strong(expected, asked)) {
    state = bring(unit) ? present : lost;
    state.notify_all();
  } else {
    state.wait(asked);
  }
  return state == present;
}

bool DestinationSide::bring(uint64_t unit) noexcept {
  try {
    const uint64_t offset = unit * unit_bytes_;
    const uint64_t length = std::min(unit_bytes_, setup_.geometry.size_bytes - offset);
    bytes_->read_at(alias_.bytes().subspan(offset, length), offset);
    if (peer_) received_ += length;
    ++faults_;
    // Each change of protection may split a mapping, and there is a limit to their number.
    check(
        ::mprotect(view_.bytes().data() + offset, round_up_to_page(length), PROT_READ | PROT_WRITE),
        "making a unit accessible (vm.max_map_count limits how many can lie apart)");
    return true;
  } catch (...) {
    const MutexLock lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    return false;
  }
}

Statistics DestinationSide::statistics() const {
  Statistics result;
  result.faults = faults_.load();
  if (peer_) result.payload_received = received_.load();
  return result;
}

void DestinationSide::rethrow_failure() const {
  std::exception_ptr failure;
  {
    const MutexLock lock(mutex_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace memsync::sigsegv
