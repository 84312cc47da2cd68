// One contract for every reader, one for every store, and what is particular to one.
#include "lib/backend/backend.h"

#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "lib/backend/open_reader.h"
#include "lib/backend/reader_contract.h"
#include "lib/backend/stores.h"

namespace memsync {
namespace {

constexpr uint64_t kSize = 3 * 4096 + 123;

std::string temporary_path() {
  return (std::filesystem::temp_directory_path() /
          ("memsync-backend-test-" + std::to_string(::getpid())))
      .string();
}

// The promise to whoever writes a reader of his own: read_at and a size are enough.
class TenLines : public Reader {
 public:
  void read_at(std::span<std::byte> into, uint64_t offset) override {
    check_range(offset, into.size(), size_bytes());
    for (auto& value : into) value = static_cast<std::byte>(offset++ / 3);
  }
  uint64_t size_bytes() const override { return kContractSize; }
};

// A file with the contract's bytes that goes with its reader.
class FileReader : public FileBackend {
 public:
  FileReader() : FileBackend(create(temporary_path(), kContractSize)) {
    write_at(seeded_bytes(), 0);
  }
  ~FileReader() override { std::filesystem::remove(temporary_path()); }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
};

struct ReaderCase {
  std::string name;
  std::unique_ptr<Reader> (*make)();
  Bytes (*expected)();
};

const ReaderCase kReaders[] = {
    {"memory",
     []() -> std::unique_ptr<Reader> {
       auto memory = std::make_unique<MemoryBackend>(kContractSize);
       memory->write_at(seeded_bytes(), 0);
       return memory;
     },
     [] { return seeded_bytes(); }},
    {"file", []() -> std::unique_ptr<Reader> { return std::make_unique<FileReader>(); },
     [] { return seeded_bytes(); }},
    {"pattern", [] { return open_reader("pattern", kContractSize, kContractSeed); },
     [] { return seeded_bytes(); }},
    {"text",
     []() -> std::unique_ptr<Reader> {
       return std::make_unique<PatternReader>(ContentKind::text, kContractSeed, kContractSize);
     },
     [] { return seeded_bytes(ContentKind::text); }},
    {"zero", [] { return open_reader("zero", kContractSize, 0); },
     [] { return Bytes(kContractSize); }},
    {"ten_lines", []() -> std::unique_ptr<Reader> { return std::make_unique<TenLines>(); },
     [] {
       Bytes bytes(kContractSize);
       for (uint64_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / 3);
       return bytes;
     }},
};

class EveryReader : public testing::TestWithParam<std::tuple<ReaderCase, ReaderCheck>> {};

TEST_P(EveryReader, KeepsTheContract) {
  const auto& [reader, check] = GetParam();
  check.run(*reader.make(), reader.expected());
}

INSTANTIATE_TEST_SUITE_P(Contract, EveryReader,
                         testing::Combine(testing::ValuesIn(kReaders),
                                          testing::ValuesIn(kReaderChecks)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" +
                                  std::string(std::get<1>(test.param).name);
                         });

class WritableStore : public testing::TestWithParam<std::string> {
 protected:
  WritableStore() {
    if (GetParam() == "memory")
      store_ = std::make_unique<MemoryBackend>(kSize);
    else
      store_ = std::make_unique<FileBackend>(FileBackend::create(temporary_path(), kSize));
  }
  ~WritableStore() override { std::filesystem::remove(temporary_path()); }
  std::unique_ptr<Backend> store_;
};

TEST_P(WritableStore, StartsAsZerosOfItsSize) {
  EXPECT_EQ(store_->size_bytes(), kSize);
  std::vector<std::byte> bytes(kSize, std::byte{1});
  store_->read_at(bytes, 0);
  EXPECT_EQ(bytes, std::vector<std::byte>(kSize));
}

TEST_P(WritableStore, GivesBackWhatWasWrittenAndNothingElse) {
  std::vector<std::byte> written(777);
  fill_content(ContentKind::random, 1, written, 0);
  store_->write_at(written, 4000);
  store_->sync();
  std::vector<std::byte> bytes(kSize);
  store_->read_at(bytes, 0);
  std::vector<std::byte> expected(kSize);
  std::memcpy(expected.data() + 4000, written.data(), written.size());
  EXPECT_EQ(bytes, expected);
}

TEST_P(WritableStore, RefusesEachRangePastItsEnd) {
  std::vector<std::byte> bytes(10);
  EXPECT_NO_THROW(store_->read_at(bytes, kSize - 10));
  EXPECT_THROW(store_->read_at(bytes, kSize - 9), std::out_of_range);
  EXPECT_THROW(store_->read_at(bytes, kSize), std::out_of_range);
  EXPECT_THROW(store_->read_at(bytes, UINT64_MAX - 4), std::out_of_range);
  EXPECT_THROW(store_->write_at(bytes, kSize - 9), std::out_of_range);
  EXPECT_THROW(store_->write_at(bytes, UINT64_MAX - 4), std::out_of_range);
  EXPECT_NO_THROW(store_->read_at({}, kSize));
}

TEST_P(WritableStore, ServesManyThreadsAtOnce) {
  std::vector<std::jthread> threads;
  for (uint64_t number = 0; number < 4; ++number)
    threads.emplace_back([this, number] {
      std::vector<std::byte> mine(1000);
      std::vector<std::byte> back(1000);
      for (uint64_t round = 0; round < 50; ++round) {
        fill_content(ContentKind::random, number, mine, round);
        store_->write_at(mine, number * 1000);
        store_->read_at(back, number * 1000);
        EXPECT_EQ(mine, back);
      }
    });
}

INSTANTIATE_TEST_SUITE_P(Stores, WritableStore, testing::Values("memory", "file"),
                         [](const auto& test) { return test.param; });

TEST(FileBackend, CutShortMeanwhileIsAnErrorNotASignal) {
  FileBackend store = FileBackend::create(temporary_path(), 8192);
  std::filesystem::resize_file(temporary_path(), 100);
  std::vector<std::byte> bytes(4096);
  try {
    store.read_at(bytes, 4096);
    ADD_FAILURE() << "read bytes that are gone";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EIO);
  }
  std::filesystem::remove(temporary_path());
}

TEST(FileBackend, OfADirectoryIsRefused) {
  EXPECT_THROW(FileBackend("/tmp", FileBackend::Mode::read_only), std::system_error);
}

TEST(PatternReader, NeedsNoMemoryForAnySize) {
  PatternReader reader(ContentKind::random, 4, uint64_t{1} << 60);
  std::vector<std::byte> far(64);
  std::vector<std::byte> expected(64);
  reader.read_at(far, (uint64_t{1} << 60) - 64);
  fill_content(ContentKind::random, 4, expected, (uint64_t{1} << 60) - 64);
  EXPECT_EQ(far, expected);
  EXPECT_THROW(reader.read_at(far, (uint64_t{1} << 60) - 63), std::out_of_range);
}

TEST(ReadOnlyStore, ReadsAsItsReaderAndTakesNoWrite) {
  ReadOnlyStore store(std::make_unique<PatternReader>(ContentKind::random, 3, 10'000));
  PatternReader reference(ContentKind::random, 3, 10'000);
  std::vector<std::byte> read(10'000), expected(10'000);
  store.read_at(read, 0);
  reference.read_at(expected, 0);
  EXPECT_EQ(read, expected);
  EXPECT_EQ(store.size_bytes(), 10'000u);
  EXPECT_TRUE(store.mapping().empty() && store.readable_memory().empty());
  try {
    store.write_at(read, 0);
    FAIL() << "took a write";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code(), std::errc::read_only_file_system);
  }
}

TEST(OpenReader, KnowsItsNamesAndListsThemOtherwise) {
  EXPECT_EQ(open_reader("zero", 5, 0)->size_bytes(), 5u);
  EXPECT_EQ(open_reader("pattern", 5, 0)->size_bytes(), 5u);
  EXPECT_EQ(open_reader("memory", 5, 0)->size_bytes(), 5u);
  EXPECT_THROW(open_reader("memroy", 5, 0), std::invalid_argument);
  EXPECT_THROW(open_reader("http://", 5, 0), std::invalid_argument);
  EXPECT_THROW(open_reader("file:/nonexistent", 5, 0), std::system_error);
}

}  // namespace
}  // namespace memsync
