// What the bytes must be, worked out from the suite alone and never from an approach.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "harness/access_pattern.h"
#include "harness/application.h"
#include "harness/suite.h"
#include "lib/backend/stores.h"
#include "lib/region/digest.h"

namespace memsync {

// Computes each expectation once per campaign. Threads: one.
class Expectations {
 public:
  explicit Expectations(const Suite& suite) : suite_(suite) {}  // outlives this

  // Of the region at the start. Not for computed content, which may be larger than any memory.
  Digest content(size_t workload);
  // Of all bytes in the order of the first `accesses` accesses of that draw.
  Digest read(size_t workload, uint64_t accesses, uint64_t draw);
  // The same bytes' SHA-256 in hex, and their number.
  std::string read_sha256(size_t workload, uint64_t accesses, uint64_t draw);
  uint64_t read_bytes(size_t workload, uint64_t accesses, uint64_t draw) const;
  // Of the region after rounds 0 .. round of its changes.
  Digest after_round(size_t workload, uint64_t round);
  // Of the region after `operations` operations of the writer at the source.
  Digest after_writer(size_t workload, uint64_t operations);
  ReplayVerdict handover(size_t workload, uint64_t source_operations,
                         const ApplicationLog& destination);

 private:
  std::vector<std::byte> initial(size_t workload) const;
  Reader& reference(size_t workload);
  AccessPattern pattern_of(size_t workload, uint64_t draw) const;
  const Suite& suite_;
  std::optional<size_t> region_of_;  // the workload whose initial region is kept
  std::unique_ptr<Reader> region_;
  std::map<size_t, Digest> contents_;
  std::map<std::tuple<size_t, uint64_t, uint64_t>, Digest> reads_;
  std::map<std::tuple<size_t, uint64_t, uint64_t>, std::string> sha256s_;
  std::map<std::pair<size_t, uint64_t>, Digest> rounds_;
};

}  // namespace memsync
