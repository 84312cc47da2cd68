#include "approaches/mmap_push/thesis/settings.h"

#include <stdexcept>
#include <string>

namespace memsync::mmap_push::thesis {

void require_sound(const Settings& settings) {
  if (settings.block_bytes < 1 || settings.block_bytes > kBlockBytesMax)
    throw std::invalid_argument("blocks are of 1 B to 16 MiB, not of " +
                                std::to_string(settings.block_bytes) + " B");
  if (settings.size_limit_bytes < 1)
    throw std::invalid_argument("the largest size of a file must be given");
}

}  // namespace memsync::mmap_push::thesis
