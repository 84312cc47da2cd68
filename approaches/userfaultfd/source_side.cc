#include <numeric>
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

std::unique_ptr<WriteTracker> tracker_of(const SideSetup& setup, const Settings& settings) {
  const auto memory = setup.store->mapping();
  if (settings.tracking == Userfault::WriteTracking::none || memory.empty()) return nullptr;
  return WriteTracker::open(memory, setup.geometry, settings.tracking);
}

}  // namespace

std::vector<ChunkIndex> written_chunks(WriteTracker* tracker, const Geometry& geometry) {
  if (tracker != nullptr) return tracker->take();
  std::vector<ChunkIndex> all(geometry.chunk_count());
  std::iota(all.begin(), all.end(), ChunkIndex{0});
  return all;
}

SourceSide::SourceSide(SideSetup setup, const Settings& settings)
    : setup_(checked(std::move(setup))),
      tracker_(tracker_of(setup_, settings)),
      local_(*setup_.store, settings.writes == Writes::back ? setup_.store.get() : nullptr,
             setup_.region, hooks()),
      served_(setup_.transport->serve(*setup_.network, kServiceName, setup_.geometry, setup_.region,
                                      local_)) {}

// Tracking has begun with the side, so what is written before a destination's first read only makes
// it fetch a chunk again; asking for a start would cost each opening a round trip.
LocalRegion::Hooks SourceSide::hooks() {
  LocalRegion::Hooks hooks;
  hooks.suspend_app = setup_.suspend_app;
  hooks.resume_app = setup_.resume_app;
  hooks.collect_dirty = [this] { return written_chunks(tracker_.get(), setup_.geometry); };
  return hooks;
}

RegionView SourceSide::region() {
  return {.memory = setup_.store->mapping(), .path = {}};
}

}  // namespace memsync::userfaultfd
