// The same work over all chunks of a region, by several threads.
#pragma once

#include <functional>

#include "lib/region/geometry.h"

namespace memsync {

// Calls work(first, end) for batches of chunks that together are [0, count), from `workers` threads
// at once (0: as many as this process may use CPUs), the calling one among them. Ends when every
// thread has: no thread outlives the call. After a failure no further batch is begun, and the first
// one is rethrown.
//   batch  chunks per call of `work`, at least 1
void parallel_chunks(ChunkIndex count, unsigned workers, ChunkIndex batch,
                     const std::function<void(ChunkIndex first, ChunkIndex end)>& work);

}  // namespace memsync
