// The native protocol's frames and hello, byte by byte as in lib/transport/README.md.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/region/geometry.h"
#include "lib/transport/region_service.h"

namespace memsync::native {

static_assert(std::endian::native == std::endian::little,
              "frames are little-endian and copied as they stand");

inline constexpr uint16_t kVersion = 1;
inline constexpr uint32_t kFramePayloadLimit = 1U << 20;  // of one frame
inline constexpr uint32_t kBackgroundPiece = 64U << 10;   // of one background frame
inline constexpr uint64_t kMessageLimit = 64ULL << 20;    // of an exchange or suspension, whole
inline constexpr uint32_t kErrorTextLimit = 512;
inline constexpr uint16_t kTopicLimit = 255;
inline constexpr uint64_t kRegionBytesMax = 1ULL << 47;  // that an inquiry takes for an answer

enum class Kind : uint8_t {
  read = 1,
  write = 2,
  exchange = 3,
  start_tracking = 4,
  suspend_and_collect = 5,
  resume = 6,
  release = 7,
  ping = 8,
  cancel = 9,   // the message of this id will not be finished
  done = 64,    // answers any request
  failed = 65,  // answers any request; payload: a short text
  pong = 66,
};

inline constexpr uint8_t kFlagBackground = 1;   // nobody waits for it
inline constexpr uint8_t kFlagMore = 2;         // the message goes on in another frame of this id
inline constexpr uint8_t kFlagRegionError = 4;  // `detail` is a RegionError, not an errno value

// Forty bytes before each payload; laid out as on the wire.
struct FrameHeader {
  Kind kind{};
  uint8_t flags = 0;
  uint16_t detail = 0;         // exchange: bytes of the topic; failed: the error's number
  uint32_t payload_bytes = 0;  // that follow
  uint64_t id = 0;             // the asker's; repeated in the answer
  uint64_t epoch = 0;          // request: the ownership meant; answer: the server's now
  uint64_t offset = 0;         // read and write
  uint32_t read_bytes = 0;     // read: how many
  uint32_t patience_ms = 0;    // request: until the asker gives up; 0: never

  Urgency urgency() const noexcept {
    return (flags & kFlagBackground) != 0 ? Urgency::background : Urgency::demand;
  }
  bool more() const noexcept { return (flags & kFlagMore) != 0; }
};
static_assert(sizeof(FrameHeader) == 40);

// What both ends say first. The first sixteen bytes stay where they are in every version.
struct Hello {
  uint64_t magic = kMagic;
  uint16_t version = kVersion;
  uint16_t refused = 0;  // the answerer's verdict
  uint32_t hello_bytes = 64;
  uint64_t size_bytes = 0;
  uint64_t chunk_bytes = 0;
  std::array<std::byte, 16> id{};
  uint64_t epoch = 0;
  uint64_t reserved = 0;

  static constexpr uint64_t kMagic = 0x0a434e59534d454dULL;  // "MEMSYNC\n"
};
static_assert(sizeof(Hello) == 64);
inline constexpr size_t kHelloPrefix = 16;

Hello hello_of(const Geometry& geometry, const RegionId& region);
// One clause per difference with both values, "" when they agree. The answerer may be one epoch
// ahead of the asker: a suspension whose reply was lost can then be asked for again.
std::string difference(const Hello& asker, const Hello& answerer, bool we_ask);

// A frame or hello that the protocol does not know; `what` says which rule it breaks.
[[noreturn]] void throw_malformed(const std::string& what);

// The header of an error reply; its text goes behind it.
FrameHeader failure_header(uint64_t id, std::error_code error);
std::error_code error_of(const FrameHeader& failed);

// Milliseconds until `deadline`, at least 1; 0 for one that never comes (further than 49 days).
uint32_t patience_until(Deadline deadline);
Deadline deadline_of(uint32_t patience_ms);

// Bytes that nobody has initialised yet.
struct Buffer {
  std::unique_ptr<std::byte[]> bytes;
  size_t size = 0;
  static Buffer of(size_t size) {
    return {std::make_unique_for_overwrite<std::byte[]>(size), size};
  }
  std::span<std::byte> span() const noexcept { return {bytes.get(), size}; }
};

// The ranges that a suspension asks for, and what it answers. Decoding throws malformed.
std::vector<std::byte> encode_ranges(std::span<const ByteRange> ranges);
std::vector<ByteRange> decode_ranges(std::span<const std::byte> bytes);
std::vector<std::byte> encode_suspension(const Suspension& suspension, ChunkIndex chunk_count);
Suspension decode_suspension(std::span<const std::byte> bytes, ChunkIndex chunk_count,
                             uint64_t wanted_bytes);

}  // namespace memsync::native
