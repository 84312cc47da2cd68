// The hash of a chunk, by one of several algorithms: what two ends compare chunks by.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace memsync {

// The first four find accidents and can be collided at will (of the CRCs by a few XORs, and by
// chance once in 2^32 changes); the last two withstand somebody who chooses the bytes.
enum class HashAlgorithm : uint8_t { xxh3_64, xxh3_128, crc32, crc32c, sha256, blake2b };
inline constexpr std::array kHashAlgorithms{HashAlgorithm::xxh3_64, HashAlgorithm::xxh3_128,
                                            HashAlgorithm::crc32,   HashAlgorithm::crc32c,
                                            HashAlgorithm::sha256,  HashAlgorithm::blake2b};

std::string_view name_of(HashAlgorithm algorithm);  // "xxh3-64" ...; what people type
std::optional<HashAlgorithm> hash_algorithm_named(std::string_view name);
size_t hash_length(HashAlgorithm algorithm);  // bytes, at most 32

// The first hash_length() bytes are the hash, most significant first; the others are zero.
struct ChunkHash {
  std::array<std::byte, 32> bytes{};
  friend bool operator==(const ChunkHash&, const ChunkHash&) = default;
};

// The hash of `bytes`, which others may be writing: then it is the hash of something that never
// stood there as a whole. crc32 is that of IEEE 802.3, crc32c Castagnoli's; blake2b the first 32
// bytes of BLAKE2b-512. Threads: any. Throws std::runtime_error where OpenSSL lacks the algorithm.
ChunkHash hash_chunk(HashAlgorithm algorithm, std::span<const std::byte> bytes);

}  // namespace memsync
