// Sends what the destination wrote to the source.
#pragma once

#include <span>

#include "lib/transport/region_service.h"

namespace memsync::userfaultfd {

// Returns once the peer has the bytes of `ranges` of `region`; their total. The first failure is
// thrown as std::system_error naming its range, when nothing is in flight any more: what the peer
// took until then is not told, so send it all again.
uint64_t write_back(RegionService& peer, std::span<const std::byte> region,
                    std::span<const ByteRange> ranges, Deadline deadline);

}  // namespace memsync::userfaultfd
