#include <stdexcept>

#include "approaches/userfaultfd/sides.h"

namespace memsync::userfaultfd {

namespace {

SideSetup checked(SideSetup setup) {
  if (!setup.store || setup.network == nullptr || setup.transport == nullptr)
    throw std::invalid_argument("userfaultfd's source needs a store, a network and a transport");
  if (setup.store->size_bytes() != setup.geometry.size_bytes)
    throw std::invalid_argument("the store holds " + std::to_string(setup.store->size_bytes()) +
                                " bytes, the region " + std::to_string(setup.geometry.size_bytes));
  return setup;
}

LocalRegion::Hooks hooks_of(const SideSetup& setup) {
  return {.suspend_app = setup.suspend_app,
          .resume_app = setup.resume_app,
          .collect_dirty = {},
          .start_tracking = {},
          .released = {},
          .on_exchange = {}};
}

}  // namespace

SourceSide::SourceSide(SideSetup setup)
    : setup_(checked(std::move(setup))),
      local_(*setup_.store, nullptr, setup_.region, hooks_of(setup_)),
      served_(setup_.transport->serve(*setup_.network, kServiceName, setup_.geometry, setup_.region,
                                      local_)) {}

RegionView SourceSide::region() {
  return {.memory = setup_.store->mapping(), .path = {}};
}

}  // namespace memsync::userfaultfd
