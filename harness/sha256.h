// SHA-256: for digests that other programs can make too.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace memsync {

// Of bytes that come in pieces. Threads: one at a time. Throws std::runtime_error where OpenSSL
// refuses, which a FIPS policy without it would.
class RunningSha256 {
 public:
  RunningSha256();
  ~RunningSha256();
  void update(std::span<const std::byte> bytes);
  std::string hex();  // 64 lower-case digits; ends it

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(const std::string& text);

}  // namespace memsync
