#include "approaches/userfaultfd/shared_guide.h"

#include <algorithm>

namespace memsync::userfaultfd {

namespace {

SideSetup setup_for(uint64_t region_bytes, const Options* options) {
  SideSetup setup;
  setup.geometry.size_bytes = region_bytes;
  setup.options = options;
  return setup;
}

}  // namespace

SharedGuide::SharedGuide(const Settings& settings, uint64_t region_bytes, const Options* options)
    : unit_bytes_(settings.unit_bytes),
      guide_(settings, setup_for(region_bytes, options), Priority{}) {}

Guidance SharedGuide::guidance(const ByteRange& part, std::vector<UnitIndex>& touches) const {
  std::vector<ByteRange> wanted;
  for (const UnitIndex unit : guide_.order()) {
    const uint64_t begin = std::max(unit * unit_bytes_, part.offset);
    const uint64_t end = std::min((unit + 1) * unit_bytes_, part.offset + part.length);
    if (begin < end) wanted.push_back({begin - part.offset, end - begin});
  }
  return {.order = in_order_of(wanted, unit_bytes_),
          .touches = guide_.use() == TraceUse::recorded ? &touches : nullptr};
}

void SharedGuide::add(const ByteRange& part, std::span<const UnitIndex> touches) {
  MutexLock lock(mutex_);
  for (const UnitIndex unit : touches) {
    const uint64_t begin = unit * unit_bytes_;
    touched_.push_back({part.offset + begin, std::min(unit_bytes_, part.length - begin)});
  }
}

void SharedGuide::keep() {
  MutexLock lock(mutex_);
  if (auto* touches = guide_.guidance().touches) *touches = in_order_of(touched_, unit_bytes_);
  guide_.keep();
}

}  // namespace memsync::userfaultfd
