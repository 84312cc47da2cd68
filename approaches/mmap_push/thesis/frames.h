// The frames of the thesis's delta protocol: a length, then JSON.
//
//   int32 little-endian n, n bytes of JSON         one round, the receiver first:
//   receiver -> source   ["e3069283", ...]         CRC32-IEEE of each of its blocks
//   source -> receiver   [0,7, ...]                indexes of the blocks that follow
//   source -> receiver   96 or -1                  what the last of them lacks of a whole block, or
//                                                  "the file is empty"
//   source -> receiver   bytes                     those blocks, back to back, without a frame
//
// Decoders take foreign bytes: whatever is not exactly such a frame is a std::system_error with
// EPROTO, and nothing is allocated before the length is known to be within its limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/transport/stream.h"

namespace memsync::mmap_push::thesis {

using BlockHash = uint32_t;  // CRC32-IEEE

// What the source says about the end of its file: how many bytes the last listed block lacks of a
// whole one; nullopt: the file is empty.
using Cutoff = std::optional<uint64_t>;

// Frames with their length. Throw std::system_error, EFBIG, when the length does not fit.
std::vector<std::byte> encode_hashes(std::span<const BlockHash> hashes);
std::vector<std::byte> encode_indexes(std::span<const uint64_t> indexes);
std::vector<std::byte> encode_cutoff(Cutoff cutoff);
// Peer types and names, as a hub is greeted. Throws std::invalid_argument when that is no UTF-8.
std::vector<std::byte> encode_text(std::string_view text);

// The most that a frame about a file of `blocks_max` blocks may hold: 24 bytes for each, which is
// an index of 19 digits or a quoted hash with space to spare, and 64.
size_t frame_limit(uint64_t blocks_max) noexcept;

// The length that a frame begins with, 1 to `limit`.
size_t decode_length(std::span<const std::byte, 4> bytes, size_t limit);
// At most `blocks_max` hashes, each of eight lower-case hexadecimal digits.
std::vector<BlockHash> decode_hashes(std::span<const std::byte> json, uint64_t blocks_max);
// Ascending, none twice, each below `blocks_max`.
std::vector<uint64_t> decode_indexes(std::span<const std::byte> json, uint64_t blocks_max);
// -1, or at least 0 and below `block_bytes`.
Cutoff decode_cutoff(std::span<const std::byte> json, uint64_t block_bytes);
std::string decode_text(std::span<const std::byte> json);

// Reads one frame and gives its JSON. Throws as Stream::read_all and decode_length().
std::vector<std::byte> read_frame(Stream& stream, size_t limit, Deadline deadline);
// The same, but waits for its first byte as long as the stream lasts and then for the rest no
// longer than `patience`. nullopt when the stream ended before a frame began.
std::optional<std::vector<std::byte>> next_frame(Stream& stream, size_t limit,
                                                 Nanoseconds patience);

}  // namespace memsync::mmap_push::thesis
