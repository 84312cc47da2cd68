// What every Reader must do: a table of checks that the tests of any reader run. For tests.
#pragma once

#include <algorithm>
#include <gtest/gtest.h>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/os/mapping.h"
#include "lib/region/content.h"

namespace memsync {

// Some whole pages and a short tail.
inline constexpr uint64_t kContractSize = 5 * 4096 + 123;
inline constexpr uint64_t kContractSeed = 11;

using Bytes = std::vector<std::byte>;

inline Bytes seeded_bytes(ContentKind kind = ContentKind::random, uint64_t size = kContractSize) {
  Bytes bytes(size);
  fill_content(kind, kContractSeed, bytes, 0);
  return bytes;
}

// Whether a read gives the expected bytes and leaves what stands around its target alone.
inline bool reads_right(Reader& reader, const Bytes& expected, uint64_t offset, uint64_t length) {
  constexpr std::byte kGuard{0xa5};
  Bytes bytes(length + 2, kGuard);
  reader.read_at(std::span(bytes).subspan(1, length), offset);
  return bytes.front() == kGuard && bytes.back() == kGuard &&
         std::equal(bytes.begin() + 1, bytes.end() - 1,
                    expected.begin() + static_cast<std::ptrdiff_t>(offset));
}

// `expected`: all of the reader's bytes, kContractSize of them.
struct ReaderCheck {
  std::string_view name;
  void (*run)(Reader& reader, const Bytes& expected);
};

inline constexpr ReaderCheck kReaderChecks[] = {
    {"TellsItsSize",
     [](Reader& reader, const Bytes& expected) {
       EXPECT_EQ(reader.size_bytes(), expected.size());
     }},
    {"ReadsWholePages",
     [](Reader& reader, const Bytes& expected) {
       for (uint64_t page = 0; page < 5; ++page)
         EXPECT_TRUE(reads_right(reader, expected, page * 4096, 4096)) << page;
       EXPECT_TRUE(reads_right(reader, expected, 4096, 3 * 4096));
     }},
    {"ReadsAnyRange",
     [](Reader& reader, const Bytes& expected) {
       SeededDraws draws(kContractSeed);
       for (int i = 0; i < 50; ++i) {
         const uint64_t offset = draws.below(expected.size());
         const uint64_t length = 1 + draws.below(expected.size() - offset);
         EXPECT_TRUE(reads_right(reader, expected, offset, length)) << length << " at " << offset;
       }
     }},
    {"ReadsItsShortTail",
     [](Reader& reader, const Bytes& expected) {
       EXPECT_TRUE(reads_right(reader, expected, 5 * 4096, expected.size() - 5 * 4096));
       EXPECT_TRUE(reads_right(reader, expected, expected.size() - 1, 1));
       EXPECT_TRUE(reads_right(reader, expected, 0, expected.size()));
     }},
    {"ReadsNothingAnywhere",
     [](Reader& reader, const Bytes& expected) {
       EXPECT_NO_THROW(reader.read_at({}, 0));
       EXPECT_NO_THROW(reader.read_at({}, expected.size()));
     }},
    {"RefusesWhatReachesPastItsEnd",
     [](Reader& reader, const Bytes& expected) {
       Bytes bytes(10);
       EXPECT_THROW(reader.read_at(bytes, expected.size() - 9), std::out_of_range);
       EXPECT_THROW(reader.read_at(bytes, expected.size()), std::out_of_range);
       EXPECT_THROW(reader.read_at(bytes, UINT64_MAX - 4), std::out_of_range);
       EXPECT_THROW(reader.read_at({}, expected.size() + 1), std::out_of_range);
     }},
    {"ServesManyThreadsAtOnce",
     [](Reader& reader, const Bytes& expected) {
       std::vector<std::jthread> threads;
       for (uint64_t number = 0; number < 4; ++number)
         threads.emplace_back([&, number] {
           SeededDraws draws(number);
           for (int i = 0; i < 50; ++i) {
             const uint64_t offset = draws.below(expected.size() - 1000);
             EXPECT_TRUE(reads_right(reader, expected, offset, 1000)) << offset;
           }
         });
     }},
    {"LendsItsMemoryOnlyIfItIsTheBytes",
     [](Reader& reader, const Bytes& expected) {
       const auto memory = reader.readable_memory();
       if (!memory.empty()) {
         EXPECT_TRUE(std::ranges::equal(memory, expected));
       }
     }},
};

}  // namespace memsync
