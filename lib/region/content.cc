#include "lib/region/content.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace memsync {

namespace {

constexpr uint64_t kBlockBytes = 4096;  // content is made in blocks of this size

using Block = std::array<std::byte, kBlockBytes>;

void random_block(uint64_t seed, uint64_t index, Block& block) {
  const uint64_t base = mix64(seed) + index * (kBlockBytes / 8);
  std::array<uint64_t, kBlockBytes / 8> words;
  for (uint64_t i = 0; i < words.size(); ++i) words[i] = mix64(base + i);
  std::memcpy(block.data(), words.data(), block.size());
}

constexpr std::array<std::string_view, 64> kWords = {
    "memory",  "region",   "the",     "of",       "a",       "host",   "page",    "and",
    "fault",   "to",       "in",      "chunk",    "is",      "source", "by",      "network",
    "write",   "read",     "dirty",   "that",     "it",      "with",   "latency", "transfer",
    "pull",    "push",     "for",     "on",       "as",      "sync",   "backend", "at",
    "from",    "copy",     "be",      "remote",   "local",   "hash",   "this",    "which",
    "process", "mapping",  "kernel",  "user",     "space",   "device", "block",   "server",
    "client",  "downtime", "resume",  "suspend",  "migrate", "track",  "flush",   "window",
    "link",    "delay",    "measure", "interval", "median",  "figure", "result",  "round"};

void text_block(uint64_t seed, uint64_t index, Block& block) {
  constexpr uint64_t kLineBytes = 72;
  SeededDraws draws(mix64(seed) ^ mix64(index));
  uint64_t line_start = 0;
  for (uint64_t at = 0; at < block.size();) {
    const std::string_view word = kWords[draws.below(kWords.size())];
    const uint64_t length = std::min<uint64_t>(word.size(), block.size() - at);
    std::memcpy(block.data() + at, word.data(), length);
    at += length;
    if (at == block.size()) break;
    const bool line_ends = at - line_start >= kLineBytes;
    block[at++] = static_cast<std::byte>(line_ends ? '\n' : ' ');
    if (line_ends) line_start = at;
  }
}

}  // namespace

void fill_content(ContentKind kind, uint64_t seed, std::span<std::byte> into, uint64_t offset) {
  if (kind == ContentKind::zero) {
    std::fill(into.begin(), into.end(), std::byte{0});  // memset(3) refuses a null pointer
    return;
  }
  Block block;
  while (!into.empty()) {
    const uint64_t within = offset % kBlockBytes;
    const uint64_t length = std::min<uint64_t>(into.size(), kBlockBytes - within);
    if (kind == ContentKind::random)
      random_block(seed, offset / kBlockBytes, block);
    else
      text_block(seed, offset / kBlockBytes, block);
    std::memcpy(into.data(), block.data() + within, length);
    into = into.subspan(length);
    offset += length;
  }
}

}  // namespace memsync
