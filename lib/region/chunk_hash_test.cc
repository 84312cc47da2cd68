// Known answers, and what a narrow hash misses.
#include "lib/region/chunk_hash.h"

#include <cstdio>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

#include "lib/region/content.h"
#include "lib/region/digest.h"

namespace memsync {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string hex(HashAlgorithm algorithm, std::span<const std::byte> bytes) {
  const ChunkHash hash = hash_chunk(algorithm, bytes);
  std::string text;
  for (size_t i = 0; i < hash_length(algorithm); ++i) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", std::to_integer<unsigned>(hash.bytes[i]));
    text += two;
  }
  return text;
}

// CRCs: the check values of "123456789" (Koopman; RFC 3720 for CRC32C). SHA-256: FIPS 180-2, B.1.
// BLAKE2b: RFC 7693, Appendix A. XXH3: the digests of no bytes in xxHash's own tests.
TEST(ChunkHash, GivesTheKnownAnswers) {
  EXPECT_EQ(hex(HashAlgorithm::crc32, bytes_of("123456789")), "cbf43926");
  EXPECT_EQ(hex(HashAlgorithm::crc32c, bytes_of("123456789")), "e3069283");
  EXPECT_EQ(hex(HashAlgorithm::sha256, bytes_of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(HashAlgorithm::blake2b, bytes_of("abc")),
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1");
  EXPECT_EQ(hex(HashAlgorithm::xxh3_64, {}), "2d06800538d394c2");
  EXPECT_EQ(hex(HashAlgorithm::xxh3_128, {}), "99aa06d3014798d86001c324468d497f");
}

TEST(ChunkHash, IsTheDigestThatTheHarnessComparesBy) {
  std::vector<std::byte> bytes(70000);
  fill_content(ContentKind::random, 1, bytes, 0);
  EXPECT_EQ(hex(HashAlgorithm::xxh3_128, bytes), to_hex(digest_of(bytes)));
}

TEST(ChunkHash, OfALongPieceIsThatOfItsBytesAloneFromAnyThread) {
  std::vector<std::byte> bytes(1 << 20);
  fill_content(ContentKind::random, 2, bytes, 0);
  for (const HashAlgorithm algorithm : kHashAlgorithms) {
    const ChunkHash before = hash_chunk(algorithm, bytes);
    ChunkHash elsewhere;
    std::jthread([&] { elsewhere = hash_chunk(algorithm, bytes); }).join();
    EXPECT_EQ(elsewhere, before) << name_of(algorithm);
    bytes[12345] ^= std::byte{1};
    EXPECT_NE(hash_chunk(algorithm, bytes), before) << name_of(algorithm);
    bytes[12345] ^= std::byte{1};
    for (size_t i = hash_length(algorithm); i < before.bytes.size(); ++i)
      EXPECT_EQ(before.bytes[i], std::byte{0});
  }
}

// A CRC is linear: any pattern that the polynomial divides can be XORed in anywhere, unseen (M13,
// xF3). The polynomial itself is one, of 33 bits; reflected, its bits go from bit 0 of a byte on.
void xor_in(std::vector<std::byte>& bytes, size_t at, uint32_t reflected_polynomial) {
  // x^32 comes first in transmission order, then the 32 reflected coefficients.
  const uint64_t pattern = uint64_t{1} | (uint64_t{reflected_polynomial} << 1);
  for (size_t i = 0; i < 5; ++i) bytes[at + i] ^= static_cast<std::byte>(pattern >> (8 * i));
}

TEST(ChunkHash, OfThirtyTwoBitsMissesACraftedChangeThatWideOnesSee) {
  constexpr uint32_t kIeee = 0xEDB88320, kCastagnoli = 0x82F63B78;
  for (const auto& [fooled, polynomial] :
       {std::pair{HashAlgorithm::crc32, kIeee}, std::pair{HashAlgorithm::crc32c, kCastagnoli}}) {
    std::vector<std::byte> before(4096);
    fill_content(ContentKind::random, 3, before, 0);
    std::vector<std::byte> after = before;
    xor_in(after, 1000, polynomial);
    ASSERT_NE(after, before);
    for (const HashAlgorithm algorithm : kHashAlgorithms)
      EXPECT_EQ(hash_chunk(algorithm, after) == hash_chunk(algorithm, before), algorithm == fooled)
          << name_of(algorithm);
  }
}

TEST(ChunkHash, AlgorithmsAreFoundByTheirNames) {
  for (const HashAlgorithm algorithm : kHashAlgorithms)
    EXPECT_EQ(hash_algorithm_named(name_of(algorithm)), algorithm);
  EXPECT_EQ(hash_algorithm_named("md5"), std::nullopt);
}

}  // namespace
}  // namespace memsync
