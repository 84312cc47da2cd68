#include "harness/expectations.h"

#include "harness/dirty_rounds.h"
#include "harness/workload_wire.h"

namespace memsync {

std::vector<std::byte> Expectations::initial(size_t workload) const {
  std::vector<std::byte> region(suite_.workloads[workload].region_bytes);
  open_content(suite_.workloads[workload], suite_.seed)->read_at(region, 0);
  return region;
}

Digest Expectations::content(size_t workload) {
  const auto known = contents_.find(workload);
  if (known != contents_.end()) return known->second;
  return contents_[workload] = digest_of(initial(workload));
}

Digest Expectations::read(size_t workload, uint64_t accesses, uint64_t draw) {
  const auto known = reads_.find({workload, accesses, draw});
  if (known != reads_.end()) return known->second;
  if (region_of_ != workload) {
    // In memory, since a read for a time may make many passes over it.
    region_ = std::make_unique<MemoryBackend>(suite_.workloads[workload].region_bytes);
    open_content(suite_.workloads[workload], suite_.seed)->read_at(region_->mapping(), 0);
    region_of_ = workload;
  }
  return reads_[{workload, accesses, draw}] = expected_read_digest(
             *region_, suite_.workloads[workload], suite_.seed, accesses, draw);
}

Digest Expectations::after_round(size_t workload, uint64_t round) {
  const auto known = rounds_.find({workload, round});
  if (known != rounds_.end()) return known->second;
  const Workload& work = suite_.workloads[workload];
  const Geometry geometry{work.region_bytes, work.chunk_bytes};
  auto region = initial(workload);
  for (uint64_t done = 0; done <= round; ++done) {
    apply_changes(dirty_round(geometry, work.dirty_ratio.value(), suite_.seed, done), region);
    rounds_[{workload, done}] = digest_of(region);
  }
  return rounds_[{workload, round}];
}

Digest Expectations::after_writer(size_t workload, uint64_t operations) {
  return handover(workload, operations, {}).final_digest;
}

ReplayVerdict Expectations::handover(size_t workload, uint64_t source_operations,
                                     const ApplicationLog& destination) {
  const Workload& work = suite_.workloads[workload];
  const auto content = open_content(work, suite_.seed);
  return replay_handover(*content, WriterScript(work, suite_.seed), source_operations, destination);
}

}  // namespace memsync
