#include "lib/transport/region_service.h"

#include <string>

namespace memsync {

namespace {

class RegionErrorCategory : public std::error_category {
 public:
  const char* name() const noexcept override { return "region"; }
  std::string message(int value) const override {
    switch (static_cast<RegionError>(value)) {
      case RegionError::stale_epoch:
        return "the region's ownership has passed on (stale epoch)";
      case RegionError::out_of_bounds:
        return "reaches past the region's end";
      case RegionError::too_large:
        return "longer than the peer takes in one request";
      case RegionError::unknown_topic:
        return "the peer does not understand this exchange";
      case RegionError::refused:
        return "refused by the peer";
      case RegionError::malformed:
        return "bytes that are no message of the protocol";
    }
    return "unknown region error " + std::to_string(value);
  }
};

}  // namespace

const std::error_category& region_error_category() noexcept {
  static const RegionErrorCategory kCategory;
  return kCategory;
}

std::error_code make_error_code(RegionError error) noexcept {
  return {static_cast<int>(error), region_error_category()};
}

}  // namespace memsync
