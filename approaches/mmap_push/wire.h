// The push protocol's messages, byte by byte as in README.md.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/os/clock.h"
#include "lib/region/digest.h"
#include "lib/region/geometry.h"

namespace memsync::mmap_push {

static_assert(std::endian::native == std::endian::little,
              "messages are little-endian and copied as they stand");

inline constexpr uint16_t kVersion = 1;
inline constexpr uint32_t kBlockBytesMax = 1U << 20;
inline constexpr uint32_t kPayloadMax = kBlockBytesMax + 64;
inline constexpr uint32_t kFilesMax = 1U << 16;
inline constexpr uint64_t kSizeMax = 1ULL << 47;
inline constexpr uint64_t kBlocksMax = 1ULL << 24;  // of one file: 64 GiB of 4 KiB, 16 TiB of 1 MiB
inline constexpr size_t kNameMax = 4096;
inline constexpr size_t kErrorTextMax = 512;

// observer: asks a hub how things stand, and hears it.
enum class Role : uint16_t { source = 1, receiver = 2, observer = 3 };

// What both ends say first.
struct Hello {
  std::array<char, 8> magic = kMagic;
  uint16_t version = kVersion;
  Role role{};
  uint32_t hello_bytes = 32;
  std::array<std::byte, 16> reserved{};

  static constexpr std::array<char, 8> kMagic = {'M', 'S', 'Y', 'N', 'C', 'P', 'S', '\n'};
};
static_assert(sizeof(Hello) == 32);

enum class Kind : uint8_t {
  // of the source
  offer = 1,      // a file: its size, block size and name
  ask_table = 2,  // which blocks does the receiver hold?
  begin = 3,      // of a round: its number, the file's size now
  blocks = 4,     // the bytes of consecutive blocks
  zeros = 5,      // consecutive blocks of nothing but zeros
  patch = 6,      // what differs within one block
  packed = 7,     // as blocks, compressed by zstd
  end = 8,        // of a round: the digest of the table of digests
  stopping = 9,   // a hand-over: the source's application is being stopped
  alive = 10,     // within a round: the source compares blocks that need not be sent
  // of a hub in the source's place
  terms = 11,    // before the first offer: the seed of all digests
  abandon = 12,  // of a round: its version is no longer there, another round begins
  settled = 13,  // everything that was published by now has come
  status = 14,   // to an observer: a piece of JSON
  // of the receiver
  have = 32,       // answers offer: size, digest of the table
  table = 33,      // answers ask_table
  done = 34,       // answers end
  take_over = 35,  // asks for the hand-over
  // of both
  failed = 64,  // why this end gives up; then it closes
};

inline constexpr uint8_t kFlagAnew = 1;     // offer: once more, of a file that is to be read anew
inline constexpr uint8_t kFlagStatic = 1;   // terms: nobody who receives digests anything
inline constexpr uint8_t kFlagPublish = 1;  // end: readers are to see this round
inline constexpr uint8_t kFlagFinal = 2;    // end: the receiver owns the file from here on

// Twelve bytes before each payload; laid out as on the wire.
struct FrameHeader {
  Kind kind{};
  uint8_t flags = 0;
  uint16_t reserved = 0;
  uint32_t payload_bytes = 0;
  uint32_t file = 0;
};
static_assert(sizeof(FrameHeader) == 12);

// Throws std::system_error (RegionError::malformed) saying which rule is broken.
[[noreturn]] void throw_malformed(const std::string& what);

// Throws for a header that no message of a peer in `sender`'s role has.
void check_header(const FrameHeader& header, Role sender);
// Throws unless a file of that size has at most kBlocksMax blocks.
void check_size(uint64_t size_bytes, uint64_t block_bytes);
// "" or why these 32 bytes are no peer of ours: foreign bytes, another version, not the role that
// is expected.
std::string hello_problem(const Hello& theirs, Role expected);

struct Offer {
  uint64_t size_bytes = 0;  // 0: an empty file
  uint32_t block_bytes = 0;
  std::string name;
};
struct Have {
  uint64_t size_bytes = 0;
  Digest table;
  uint64_t seed = 0;  // of all digests of this file, on this connection
};
struct Begin {
  uint64_t round = 0;
  uint64_t size_bytes = 0;
};
struct End {
  uint64_t round = 0;
  Digest table;
  // Of a final round: how long stopping the application took, and finding what it had changed.
  Nanoseconds suspend{}, collect{};
};
struct Done {
  uint64_t round = 0;
  Digest table;
};
struct Table {
  uint64_t first = 0;
  std::vector<Digest> digests;
};
// What a hub decides for its receivers.
struct Terms {
  uint64_t seed = 0;
};
struct Failure {
  int error = 0;  // an errno value, 0 where none fits
  std::string text;
};
// A piece of a block that differs.
struct PatchPiece {
  uint32_t offset = 0;
  std::span<const std::byte> bytes;
};

// Encoders give the payload alone. Decoders throw malformed for anything else than what an encoder
// gives; `size_bytes` and counts are bounded before anything is allocated by them.
std::vector<std::byte> encode(const Offer& offer);
std::vector<std::byte> encode(const Have& have);
std::vector<std::byte> encode(const Begin& begin);
std::vector<std::byte> encode(const End& end);
std::vector<std::byte> encode(const Done& done);
std::vector<std::byte> encode(const Table& table);
std::vector<std::byte> encode(const Terms& terms);
std::vector<std::byte> encode(const Failure& failure);
Offer decode_offer(std::span<const std::byte> payload);
Have decode_have(std::span<const std::byte> payload);
Begin decode_begin(std::span<const std::byte> payload);
End decode_end(std::span<const std::byte> payload);
Done decode_done(std::span<const std::byte> payload);
Table decode_table(std::span<const std::byte> payload);
Terms decode_terms(std::span<const std::byte> payload);
Failure decode_failure(std::span<const std::byte> payload);

// Block numbers of `blocks`, `packed` and `patch` stand in the first eight bytes of the payload.
inline constexpr size_t kBlockNumberBytes = 8;

// `zeros`: (first, count). Throws unless all of them lie below `block_count`.
struct BlockRun {
  uint64_t first = 0;
  uint64_t count = 0;
};
std::vector<std::byte> encode(const BlockRun& run);
BlockRun decode_run(std::span<const std::byte> payload, uint64_t block_count);

// What turns `before` into `after` (of one length), runs of fewer than eight equal bytes included;
// nullopt where that is not shorter than half of the block.
std::optional<std::vector<std::byte>> encode_patch(std::span<const std::byte> before,
                                                   std::span<const std::byte> after);
// The pieces of such a patch, ascending and without overlap within `block_bytes`.
std::vector<PatchPiece> decode_patch(std::span<const std::byte> payload, uint64_t block_bytes);

// Whether the name may be a file below a receiver's folder: relative, no empty, "." or ".." part,
// no NUL, no name that the receiver keeps for itself. "" or one sentence.
std::string name_problem(std::string_view name);

}  // namespace memsync::mmap_push
