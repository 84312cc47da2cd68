// What an access to memory costs the first and the second time, by where its bytes stand. Every
// page of a region is read once, in random order; time and faults are per access. Run it with
//   userfaultfd_access_cost_benchmark --benchmark_enable_random_interleaving=true
//       --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
// pass:1 is the first pass over a fresh region, pass:2 the second; bytes: of each page. FUSE and
// NBD will be measured beside their own approaches, by the same two passes.
#include <benchmark/benchmark.h>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <numeric>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "approaches/userfaultfd/own_memory.h"
#include "approaches/userfaultfd/pager.h"
#include "approaches/userfaultfd/thread_faults.h"
#include "lib/backend/stores.h"
#include "lib/os/awake_cpus.h"
#include "lib/os/error.h"
#include "lib/region/content.h"
#include "lib/transport/local_region.h"

namespace memsync::userfaultfd {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kPages = 8192;
constexpr uint64_t kSize = kPages * kPage;
constexpr uint64_t kSeed = 3;

// A fresh region in each iteration.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual void access(std::span<std::byte> bytes, uint64_t offset) = 0;
  virtual uint64_t userfaults() const { return 0; }
};

class MappedMemory : public Memory {
 public:
  explicit MappedMemory(Mapping mapping) : mapping_(std::move(mapping)) {}
  void access(std::span<std::byte> into, uint64_t offset) override {
    std::memcpy(into.data(), mapping_.bytes().data() + offset, into.size());
  }

 protected:
  Mapping mapping_;
};

// Written, for all that is read before is one page of zeros.
class AnonymousMemory : public MappedMemory {
 public:
  AnonymousMemory() : MappedMemory(Mapping::anonymous(kSize)) {
    // A huge page would make one fault of 512.
    check(::madvise(mapping_.bytes().data(), kSize, MADV_NOHUGEPAGE), "madvise");
  }
  void access(std::span<std::byte> bytes, uint64_t offset) override {
    std::memcpy(mapping_.bytes().data() + offset, bytes.data(), bytes.size());
  }
};

std::unique_ptr<Memory> anonymous() {
  return std::make_unique<AnonymousMemory>();
}

// A file without a name in the temporary folder, written through to the disk.
const FileDescriptor& content_file() {
  static const FileDescriptor file = [] {
    std::string path = std::filesystem::temp_directory_path() / "memsync-access-XXXXXX";
    FileDescriptor made{check(::mkostemp(path.data(), O_CLOEXEC), "creating " + path)};
    ::unlink(path.c_str());
    std::vector<std::byte> content(kSize);
    fill_content(ContentKind::random, kSeed, content, 0);
    if (check(::pwrite(made.get(), content.data(), kSize, 0), "writing " + path) != kSize)
      throw_errno("writing " + path, ENOSPC);
    check(::fsync(made.get()), "fsync of " + path);
    return made;
  }();
  return file;
}

void drop_from_cache(const FileDescriptor& file) {
  check(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED), "posix_fadvise");
}

// In order, whatever had put it there before: how the pages lie decides how many a fault maps.
void read_into_cache(const FileDescriptor& file) {
  drop_from_cache(file);
  std::vector<std::byte> all(kSize);
  check(::pread(file.get(), all.data(), kSize, 0), "reading");
}

std::unique_ptr<Memory> mapped_cached_file() {
  read_into_cache(content_file());
  return std::make_unique<MappedMemory>(Mapping::shared(content_file(), kSize));
}

// A page at a time from the disk: the kernel reads nothing ahead.
std::unique_ptr<Memory> mapped_file_on_disk() {
  drop_from_cache(content_file());
  Mapping mapping = Mapping::shared(content_file(), kSize);
  check(::madvise(mapping.bytes().data(), kSize, MADV_RANDOM), "madvise");
  return std::make_unique<MappedMemory>(std::move(mapping));
}

class ReadFile : public Memory {
 public:
  void access(std::span<std::byte> into, uint64_t offset) override {
    const auto got =
        ::pread(content_file().get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (static_cast<size_t>(got) != into.size()) throw_errno("pread", EIO);
  }
};

std::unique_ptr<Memory> read_cached_file() {
  read_into_cache(content_file());
  return std::make_unique<ReadFile>();
}

MemoryBackend& local_bytes() {
  static MemoryBackend store = [] {
    MemoryBackend made(kSize);
    fill_content(ContentKind::random, kSeed, made.mapping(), 0);
    return made;
  }();
  return store;
}

class PulledMemory : public MappedMemory {
 public:
  explicit PulledMemory(const Settings& settings)
      : MappedMemory(Mapping::anonymous(kSize)),
        source_(std::make_unique<LocalRegion>(local_bytes(), nullptr, RegionId{},
                                              LocalRegion::Hooks{})),
        memory_(mapping_.bytes(), memory_wishes(settings)),
        pager_(memory_, {.size_bytes = kSize, .chunk_bytes = kPage}, settings, *source_) {}
  ~PulledMemory() override {
    pager_.stop();
    source_.reset();
  }
  uint64_t userfaults() const override { return *pager_.statistics().faults; }

 private:
  std::unique_ptr<LocalRegion> source_;
  OwnMemory memory_;
  Pager pager_;
};

template <Handler handler>
std::unique_ptr<Memory> pulled() {
  return std::make_unique<PulledMemory>(
      Settings{.prefetch = Prefetch::none, .unit_bytes = kPage, .handler = handler});
}

const std::vector<uint64_t>& shuffled_pages() {
  static const std::vector<uint64_t> pages = [] {
    std::vector<uint64_t> made(kPages);
    std::iota(made.begin(), made.end(), 0);
    SeededDraws draws(kSeed);
    for (uint64_t i = kPages - 1; i > 0; --i) std::swap(made[i], made[draws.below(i + 1)]);
    return made;
  }();
  return pages;
}

void access_each_page(Memory& memory, std::span<std::byte> into) {
  for (const uint64_t page : shuffled_pages()) {
    memory.access(into, page * kPage);
    benchmark::DoNotOptimize(into.data());
    benchmark::ClobberMemory();
  }
}

void passes(benchmark::State& state, std::unique_ptr<Memory> (*make)()) {
  const AwakeCpus awake;
  std::vector<std::byte> into(static_cast<size_t>(state.range(1)));
  ThreadFaults faults;
  uint64_t userfaults = 0;
  for (auto _ : state) {
    // Warm pages: a guest's first touch of host memory would be measured otherwise.
    {
      const Mapping warm = Mapping::anonymous(kSize, Population::at_once);
    }
    const auto memory = make();
    if (state.range(0) == 2) access_each_page(*memory, into);
    const auto faults_before = ThreadFaults::now();
    const uint64_t userfaults_before = memory->userfaults();
    const auto start = Clock::now();
    access_each_page(*memory, into);
    state.SetIterationTime(seconds(Clock::now() - start) / kPages);
    const auto taken = ThreadFaults::now() - faults_before;
    faults = {faults.minor + taken.minor, faults.major + taken.major};
    userfaults += memory->userfaults() - userfaults_before;
  }
  const auto per_access = [&](uint64_t count) {
    return static_cast<double>(count) / kPages / static_cast<double>(state.iterations());
  };
  state.counters["minor"] = per_access(faults.minor);
  state.counters["major"] = per_access(faults.major);
  state.counters["userfaults"] = per_access(userfaults);
}

void options(benchmark::internal::Benchmark* of) {
  of->ArgNames({"pass", "bytes"})->ArgsProduct({{1, 2}, {8, kPage}});
  of->UseManualTime()->Iterations(1)->Unit(benchmark::kNanosecond);
}

BENCHMARK_CAPTURE(passes, anonymous, anonymous)->Apply(options);
BENCHMARK_CAPTURE(passes, mmap_cached, mapped_cached_file)->Apply(options);
BENCHMARK_CAPTURE(passes, mmap_disk, mapped_file_on_disk)->Apply(options);
BENCHMARK_CAPTURE(passes, read_cached, read_cached_file)->Apply(options);
BENCHMARK_CAPTURE(passes, userfaultfd_poll, pulled<Handler::poll>)->Apply(options);
BENCHMARK_CAPTURE(passes, userfaultfd_sigbus, pulled<Handler::sigbus>)->Apply(options);

}  // namespace
}  // namespace memsync::userfaultfd
