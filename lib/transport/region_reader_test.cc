// A region behind a service as a reader: in this process and over a wire.
#include "lib/transport/region_reader.h"

#include <gtest/gtest.h>
#include <optional>

#include "lib/backend/reader_contract.h"
#include "lib/transport/transport_test_support.h"

namespace memsync {
namespace {

using namespace std::chrono_literals;
using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this

constexpr RegionId kRegion{.epoch = 3};
constexpr Geometry kGeometry{.size_bytes = kContractSize, .chunk_bytes = 4096};

PatternReader contract_pattern() {
  return {ContentKind::random, kContractSeed, kContractSize};
}

void check_contract(RegionService& service) {
  RegionReader reader(service, kContractSize, 20s);
  const Bytes expected = seeded_bytes();
  for (const ReaderCheck& check : kReaderChecks) {
    SCOPED_TRACE(check.name);
    check.run(reader, expected);
  }
}

// A region over a UNIX socket, until close().
class Served {
 public:
  explicit Served(Reader& reader)
      : local_(std::in_place, reader, nullptr, kRegion, LocalRegion::Hooks{}),
        served_(
            native_transport().serve(*loopback_.network, "region", kGeometry, kRegion, *local_)),
        remote_(native_transport().connect(*loopback_.network, "source", "region", kGeometry,
                                           kRegion, soon())) {}
  RegionService& remote() { return *remote_; }
  void close() {
    served_.reset();
    local_.reset();
  }

 private:
  Loopback loopback_{Wire::unix_socket};
  std::optional<LocalRegion> local_;
  std::unique_ptr<ServedRegion> served_;
  std::unique_ptr<RegionService> remote_;
};

TEST(RegionReader, IsAReaderLikeAnyOtherOfARegionHere) {
  PatternReader pattern = contract_pattern();
  LocalRegion pooled(pattern, nullptr, kRegion, {});
  check_contract(pooled);
  LocalRegion at_once(pattern, nullptr, kRegion, {}, LocalRegion::Reads::demand_at_once);
  check_contract(at_once);
  MemoryBackend memory(kContractSize);
  memory.write_at(seeded_bytes(), 0);
  LocalRegion lent(memory, nullptr, kRegion, {});
  EXPECT_EQ(RegionReader(lent, kContractSize, 1s).readable_memory().data(),
            memory.mapping().data());
  check_contract(lent);
}

TEST(RegionReader, IsAReaderLikeAnyOtherOfARegionElsewhere) {
  PatternReader pattern = contract_pattern();
  Served served(pattern);
  check_contract(served.remote());
}

TEST(RegionReader, ThrowsWhatTheServiceAnswers) {
  PatternReader pattern = contract_pattern();
  Served served(pattern);
  // It believes in more bytes than there are.
  RegionReader reader(served.remote(), 2 * kContractSize, 20s);
  Bytes bytes(4096);
  try {
    reader.read_at(bytes, kContractSize);
    ADD_FAILURE() << "read bytes that the region does not have";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code(), RegionError::out_of_bounds);
    EXPECT_NE(std::string(problem.what()).find("4096 bytes at 20603"), std::string::npos)
        << problem.what();
  }
}

TEST(RegionReader, ThrowsWhenThePeerIsGone) {
  PatternReader pattern = contract_pattern();
  Served served(pattern);
  RegionReader reader(served.remote(), kContractSize, 20s);
  Bytes bytes(4096);
  EXPECT_NO_THROW(reader.read_at(bytes, 0));
  served.close();
  EXPECT_THROW(reader.read_at(bytes, 0), std::system_error);
}

}  // namespace
}  // namespace memsync
