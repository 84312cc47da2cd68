#include "harness/expectations.h"

#include "harness/dirty_rounds.h"
#include "harness/sha256.h"
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
  return reads_[{workload, accesses, draw}] = expected_read_digest(
             reference(workload), suite_.workloads[workload], suite_.seed, accesses, draw);
}

Reader& Expectations::reference(size_t workload) {
  if (region_of_ == workload) return *region_;
  const Workload& work = suite_.workloads[workload];
  region_ = open_content(work, suite_.seed);
  if (!work.is_computed) {
    // In memory, since a read for a time may make many passes over it.
    auto memory = std::make_unique<MemoryBackend>(work.region_bytes);
    region_->read_at(memory->mapping(), 0);
    region_ = std::move(memory);
  }
  region_of_ = workload;
  return *region_;
}

AccessPattern Expectations::pattern_of(size_t workload, uint64_t draw) const {
  const Workload& work = suite_.workloads[workload];
  return {work.access, work.region_bytes, work.touch_bytes, suite_.seed, draw};
}

std::string Expectations::read_sha256(size_t workload, uint64_t accesses, uint64_t draw) {
  const auto known = sha256s_.find({workload, accesses, draw});
  if (known != sha256s_.end()) return known->second;
  const AccessPattern pattern = pattern_of(workload, draw);
  RunningSha256 digest;
  std::vector<std::byte> piece;
  for (uint64_t i = 0; i < accesses; ++i) {
    const ByteRange range = pattern.at(i);
    piece.resize(range.length);
    reference(workload).read_at(piece, range.offset);
    digest.update(piece);
  }
  return sha256s_[{workload, accesses, draw}] = digest.hex();
}

uint64_t Expectations::read_bytes(size_t workload, uint64_t accesses, uint64_t draw) const {
  const AccessPattern pattern = pattern_of(workload, draw);
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < accesses; ++i) bytes += pattern.at(i).length;
  return bytes;
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
