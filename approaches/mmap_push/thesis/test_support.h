// What the tests of the thesis's protocol share: files, both ends connected, and a receiver at
// work.
#pragma once

#include <array>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "approaches/mmap_push/thesis/receiver.h"
#include "approaches/mmap_push/thesis/source.h"
#include "lib/transport/socket_stream.h"
#include "lib/transport/transport_test_support.h"

namespace memsync::mmap_push::thesis::test {

using memsync::test::soon;
using memsync::test::TemporaryDirectory;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline Settings small_blocks(uint64_t block_bytes = 4096) {
  return {.block_bytes = block_bytes,
          .size_limit_bytes = 1U << 20,
          .workers = 2,
          .patience = seconds(10)};
}

inline std::string random_bytes(uint64_t seed, size_t bytes) {
  const auto made = memsync::test::content(seed, 0, bytes);
  return {reinterpret_cast<const char*>(made.data()), made.size()};
}
inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::unique_ptr<Stream> stream_of(FileDescriptor socket) {
  return std::make_unique<SocketStream>(std::move(socket), std::make_shared<ByteCounters>());
}
// Two ends of one connection.
inline std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> connection() {
  auto [one, other] = FileDescriptor::socket_pair();
  return {stream_of(std::move(one)), stream_of(std::move(other))};
}

// The errno that `call` throws, 0 when it doesn't.
inline int error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::system_error& error) {
    EXPECT_GT(std::string(error.what()).size(), 10U);
    return error.code().value();
  }
  return 0;
}

// A receiver that serves in a thread of its own until the source leaves or it is destroyed.
class Receiving {
 public:
  Receiving(std::unique_ptr<Stream> stream, SyncedFile file, const Settings& settings)
      : receiver_(std::move(stream), std::move(file), settings),
        thread_(
            [this](std::stop_token stop) { error_ = error_of([&] { receiver_.serve(stop); }); }) {}
  // Waits until serve() has ended: its errno.
  int end() {
    thread_.join();
    return error_;
  }
  int stop() {
    thread_.request_stop();
    return end();
  }

 private:
  ThesisReceiver receiver_;
  int error_ = 0;
  std::jthread thread_;
};

// A decorator that does something to what passes: before a write, after a read.
class HookedStream : public Stream {
 public:
  using Hook = std::function<void(std::span<const iovec>)>;
  HookedStream(std::unique_ptr<Stream> next, Hook before_write, Hook after_read)
      : next_(std::move(next)),
        before_write_(std::move(before_write)),
        after_read_(std::move(after_read)) {}
  std::optional<size_t> read_some(std::span<const iovec> into) override {
    const auto got = next_->read_some(into);
    if (got && *got > 0 && after_read_) {
      const iovec read{into[0].iov_base, *got};
      after_read_({&read, 1});
    }
    return got;
  }
  std::optional<size_t> write_some(std::span<const iovec> from) override {
    if (before_write_) before_write_(from);
    return next_->write_some(from);
  }
  int descriptor() const noexcept override { return next_->descriptor(); }
  void shut_down() noexcept override { next_->shut_down(); }
  uint64_t bytes_read() const noexcept override { return next_->bytes_read(); }
  uint64_t bytes_written() const noexcept override { return next_->bytes_written(); }

 private:
  std::unique_ptr<Stream> next_;
  Hook before_write_, after_read_;
};

// A source file and a received file in one folder.
class TwoFiles : public ::testing::Test {
 protected:
  const std::string& folder() const { return folder_.path(); }
  std::string source_path() const { return folder() + "/source"; }
  std::string received_path() const { return folder() + "/received"; }
  SyncedFile source_file() const { return SyncedFile::at_path(source_path()); }
  SyncedFile received_file() const { return SyncedFile::at_path(received_path()); }
  bool files_are_equal() const { return read_file(source_path()) == read_file(received_path()); }
  // Over a new connection: a receiver at work and one round of the source.
  SyncReport sync_once(const Settings& settings) const {
    auto [ours, theirs] = connection();
    Receiving receiving(std::move(theirs), received_file(), settings);
    SyncReport report;
    {
      ThesisSource source(std::move(ours), source_file(), settings);
      report = source.round(soon());
    }
    EXPECT_EQ(receiving.end(), 0);
    return report;
  }

 private:
  TemporaryDirectory folder_;
};

}  // namespace memsync::mmap_push::thesis::test
