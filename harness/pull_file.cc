#include <array>
#include <cstdio>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/exit_codes.h"
#include "harness/meter.h"
#include "harness/pull.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/mutex.h"
#include "lib/region/digest.h"

namespace memsync {

namespace {

constexpr uint64_t kPieceBytes = 256 << 10;

// Brings a region from its first byte to its last, with a window of pieces under way.
// Threads: next() from one.
class InOrder : private CompletionSink {
 public:
  InOrder(std::unique_ptr<RegionService> source, uint64_t size, uint64_t window_bytes)
      : source_(std::move(source)),
        size_(size),
        slots_(std::max<uint64_t>(window_bytes / kPieceBytes, 1)) {
    for (Slot& slot : slots_) slot.memory = Mapping::anonymous(kPieceBytes);
    for (size_t i = 0; i < slots_.size(); ++i) ask_for_another();
  }
  ~InOrder() override { source_.reset(); }  // completes what is open, while the slots are there

  // The next bytes, valid until the next call; none at the end, nullopt when they have not come by
  // `limit`. Throws SourceLost.
  std::optional<std::span<const std::byte>> next(Deadline limit) {
    if (given_ > 0) ask_for_another();  // the piece given last may be overwritten now
    const uint64_t offset = given_ * kPieceBytes;
    if (offset >= size_) return std::span<const std::byte>{};
    Slot& slot = slots_[given_ % slots_.size()];
    MutexLock lock(mutex_);
    while (!slot.is_there)
      if (changed_.wait_until(mutex_, limit) == std::cv_status::timeout) return std::nullopt;
    if (slot.error)
      throw SourceLost(
          fmt::format("the bytes from {} on did not come: {}", offset, slot.error.message()));
    slot.is_there = false;
    ++given_;
    return slot.memory.bytes().first(std::min(kPieceBytes, size_ - offset));
  }

 private:
  struct Slot {
    Mapping memory;
    bool is_there = false;
    std::error_code error;
  };

  // Without a deadline: however slow the link, it goes on while the peer answers pings.
  void ask_for_another() {
    if (asked_ >= given_ + slots_.size()) return;
    const uint64_t offset = asked_ * kPieceBytes;
    if (offset >= size_) return;
    Slot& slot = slots_[asked_ % slots_.size()];
    const ReadRequest request{
        .offset = offset,
        .into = slot.memory.bytes().first(std::min(kPieceBytes, size_ - offset)),
        .tag = asked_ % slots_.size()};
    ++asked_;
    source_->start_reads({&request, 1}, Urgency::demand, Deadline::max(), *this);
  }

  void completed(std::span<Completion> done) noexcept override {
    MutexLock lock(mutex_);
    for (const Completion& completion : done) {
      slots_[completion.tag].error = completion.error;
      slots_[completion.tag].is_there = true;
    }
    changed_.notify_all();
  }

  std::unique_ptr<RegionService> source_;
  const uint64_t size_;
  uint64_t asked_ = 0;  // pieces
  uint64_t given_ = 0;
  Mutex mutex_;
  Condition changed_;
  std::deque<Slot> slots_;  // is_there and error: with mutex_ held
};

FileDescriptor open_beside(const std::string& path, const std::string& temporary) {
  try {
    return FileDescriptor::open(temporary, O_WRONLY | O_CREAT | O_EXCL);
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(
        fmt::format("--out {}: a file can't be made there: {}", path, problem.code().message()));
  }
}

// A file beside its final place, gone unless it is kept.
class Unfinished {
 public:
  Unfinished(const std::string& path, uint64_t size)
      : path_(path),
        temporary_(fmt::format("{}.memsync-{}", path, ::getpid())),
        file_(open_beside(path, temporary_)) {
    // Fails now, not after hours, when there is no room. Not every file system can tell.
    const int result = ::fallocate(file_.get(), 0, 0, static_cast<off_t>(size));
    if (result < 0 && errno != EOPNOTSUPP) {
      const int error = errno;
      ::unlink(temporary_.c_str());
      throw_errno(fmt::format("making room for {} bytes at {}", size, path), error);
    }
  }
  ~Unfinished() {
    if (!kept_) ::unlink(temporary_.c_str());
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

  void append(std::span<const std::byte> bytes) {
    write_all(file_.get(), bytes.data(), bytes.size(), "writing " + path_);
  }
  void keep() {
    check(::fsync(file_.get()), "writing " + path_);
    check(::rename(temporary_.c_str(), path_.c_str()), "renaming to " + path_);
    kept_ = true;
    const auto folder = std::filesystem::absolute(path_).parent_path();
    check(::fsync(FileDescriptor::open(folder, O_RDONLY | O_DIRECTORY).get()),
          "writing the folder of " + path_);
  }

 private:
  const std::string path_;
  const std::string temporary_;
  const FileDescriptor file_;
  bool kept_ = false;
};

}  // namespace

int pull_into_file(const RemoteRegion& region, const userfaultfd::Settings& settings,
                   const PullOptions& options, InterruptWatch& interrupts) {
  if (std::filesystem::is_directory(options.out))
    throw std::invalid_argument(options.out + " is a folder; name a file for --out");
  const auto start = Clock::now();
  Unfinished file(options.out, region.size_bytes());
  RunningDigest digest;
  {
    Meter meter(region.size_bytes());
    InOrder pieces(region.connect(), region.size_bytes(), settings.window_bytes);
    for (uint64_t done = 0; done < region.size_bytes();) {
      interrupts.check();
      meter.show(done);
      const auto piece = pieces.next(after(std::chrono::milliseconds(100)));
      if (!piece) continue;
      digest.update(*piece);
      file.append(*piece);
      done += piece->size();
    }
  }
  file.keep();
  const std::string hex = to_hex(digest.value());
  const double took = seconds(Clock::now() - start);
  if (options.json)
    fmt::print("{}\n", nlohmann::json{{"path", options.out},
                                      {"size_B", region.size_bytes()},
                                      {"xxh3_128", hex},
                                      {"duration_s", took}}
                           .dump());
  else
    fmt::print("{}  {}\n", hex, options.out);
  return exit_code::kOk;
}

}  // namespace memsync
