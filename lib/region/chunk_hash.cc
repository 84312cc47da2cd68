#include "lib/region/chunk_hash.h"

#define XXH_INLINE_ALL
#include <cstring>
#include <isa-l/crc.h>
#include <memory>
#include <openssl/evp.h>
#include <stdexcept>
#include <string>
#include <xxhash.h>

namespace memsync {

namespace {

struct Named {
  std::string_view name;
  size_t length;
};

constexpr std::array<Named, kHashAlgorithms.size()> kNamed{{{"xxh3-64", 8},
                                                            {"xxh3-128", 16},
                                                            {"crc32", 4},
                                                            {"crc32c", 4},
                                                            {"sha256", 32},
                                                            {"blake2b", 32}}};

const Named& named(HashAlgorithm algorithm) {
  return kNamed[static_cast<size_t>(algorithm)];
}

ChunkHash from_number(uint64_t number, size_t length) {
  ChunkHash hash;
  for (size_t i = 0; i < length; ++i)
    hash.bytes[i] = static_cast<std::byte>(number >> (8 * (length - 1 - i)));
  return hash;
}

// Fetched once: looking an algorithm up by its name costs more than hashing a chunk
// (EVP_MD_fetch(3)).
class Fetched {
 public:
  explicit Fetched(const char* name) : algorithm_(EVP_MD_fetch(nullptr, name, nullptr)) {
    if (algorithm_ == nullptr)
      throw std::runtime_error(std::string("this OpenSSL has no ") + name + "; choose xxh3-128");
  }
  Fetched(const Fetched&) = delete;
  Fetched& operator=(const Fetched&) = delete;
  ~Fetched() { EVP_MD_free(algorithm_); }
  const EVP_MD* get() const { return algorithm_; }

 private:
  EVP_MD* const algorithm_;
};

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

ChunkHash by_openssl(const Fetched& algorithm, std::span<const std::byte> bytes) {
  thread_local const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  if (EVP_DigestInit_ex2(context.get(), algorithm.get(), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1)
    throw std::runtime_error("OpenSSL failed to hash " + std::to_string(bytes.size()) + " bytes");
  ChunkHash hash;
  std::memcpy(hash.bytes.data(), digest.data(), hash.bytes.size());
  return hash;
}

// isa-l leaves the upper halves of the vector registers in use, and every SSE instruction of the
// thread then costs a merge: XXH3 ran at 5.4 instead of 18 GB/s after one CRC. (Intel 64 and IA-32
// Architectures Optimization Reference Manual, "Mixing AVX code with SSE code")
void release_vector_registers() {
#if defined(__x86_64__)
  static const bool kHasThem = __builtin_cpu_supports("avx") != 0;
  if (kHasThem) asm volatile("vzeroupper");
#endif
}

// isa-l wants non-const bytes for CRC32C and changes none.
uint32_t crc32c(std::span<const std::byte> bytes) {
  auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
  uint32_t crc = ~uint32_t{0};
  // It takes an int.
  for (constexpr size_t kMost = size_t{1} << 30; !bytes.empty();) {
    const size_t piece = bytes.size() < kMost ? bytes.size() : kMost;
    crc = crc32_iscsi(data, static_cast<int>(piece), crc);
    data += piece;
    bytes = bytes.subspan(piece);
  }
  release_vector_registers();
  return ~crc;
}

uint32_t crc32(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const uint32_t crc = crc32_gzip_refl(0, data, bytes.size());
  release_vector_registers();
  return crc;
}

}  // namespace

std::string_view name_of(HashAlgorithm algorithm) {
  return named(algorithm).name;
}

std::optional<HashAlgorithm> hash_algorithm_named(std::string_view name) {
  for (const HashAlgorithm algorithm : kHashAlgorithms)
    if (name_of(algorithm) == name) return algorithm;
  return std::nullopt;
}

size_t hash_length(HashAlgorithm algorithm) {
  return named(algorithm).length;
}

ChunkHash hash_chunk(HashAlgorithm algorithm, std::span<const std::byte> bytes) {
  switch (algorithm) {
    case HashAlgorithm::xxh3_64:
      return from_number(XXH3_64bits(bytes.data(), bytes.size()), 8);
    case HashAlgorithm::xxh3_128: {
      XXH128_canonical_t canonical;
      XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
      ChunkHash hash;
      std::memcpy(hash.bytes.data(), canonical.digest, sizeof(canonical.digest));
      return hash;
    }
    case HashAlgorithm::crc32:
      return from_number(crc32(bytes), 4);
    case HashAlgorithm::crc32c:
      return from_number(crc32c(bytes), 4);
    case HashAlgorithm::sha256: {
      static const Fetched kSha256("SHA2-256");
      return by_openssl(kSha256, bytes);
    }
    case HashAlgorithm::blake2b:
      break;
  }
  static const Fetched kBlake2b("BLAKE2B-512");
  return by_openssl(kBlake2b, bytes);
}

}  // namespace memsync
