// What finding changes costs: the hash algorithms, chunks against whole files, and each detector on
// 1 GiB beside the ceiling it could reach. Compare within one interleaved run:
//   detection_benchmark --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
//       --benchmark_report_aggregates_only=true [--benchmark_filter=...]
#include <benchmark/benchmark.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <thread>

#include "lib/detection/change_detector.h"
#include "lib/os/clock.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/userfault.h"
#include "lib/os/userfault_kernel.h"
#include "lib/region/content.h"
#include "lib/region/digest.h"
#include "lib/region/parallel_chunks.h"

namespace memsync {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr Geometry kRegion{.size_bytes = kGiB, .chunk_bytes = 4096};

// A memory file of 1 GiB, the same for all: what a detector needs it makes of it.
struct Region {
  FileDescriptor file = FileDescriptor::memory_file("detection", kGiB);
  Mapping mapping = Mapping::shared(file, kGiB);
  Region() { fill_content(ContentKind::random, 1, mapping.bytes(), 0); }
  static Region& instance() {
    static Region region;
    return region;
  }
  Watched watched(unsigned workers = 1) const {
    return {.memory = mapping.bytes(), .geometry = kRegion, .file = file.get(), .workers = workers};
  }
  // One byte in every 1/share-th page; `per_million` of the pages.
  void dirty(int64_t per_million) const {
    const auto count = static_cast<uint64_t>(per_million) * kRegion.chunk_count() / 1'000'000;
    for (uint64_t i = 0; i < count; ++i) {
      auto& byte = mapping.bytes()[i * kRegion.chunk_count() / count * 4096 + 64];
      byte = static_cast<std::byte>(std::to_integer<unsigned>(byte) + 1);
    }
  }
};

// B2: GB/s of each algorithm, by threads and bytes of a chunk, over 64 MiB: more than the caches
// hold.
void hash_chunks(benchmark::State& state, HashAlgorithm algorithm) {
  constexpr uint64_t kBytes = 64 << 20;
  const auto memory = Region::instance().mapping.bytes().first(kBytes);
  const Geometry geometry{.size_bytes = kBytes,
                          .chunk_bytes = static_cast<uint64_t>(state.range(1))};
  for (auto _ : state)
    parallel_chunks(geometry.chunk_count(), static_cast<unsigned>(state.range(0)),
                    std::max<ChunkIndex>(1, (1 << 20) / geometry.chunk_bytes),
                    [&](ChunkIndex first, ChunkIndex end) {
                      for (; first < end; ++first)
                        benchmark::DoNotOptimize(
                            hash_chunk(algorithm, memory.subspan(geometry.chunk_start(first),
                                                                 geometry.chunk_length(first))));
                    });
  state.SetBytesProcessed(static_cast<int64_t>(kBytes) * state.iterations());
}
void by_threads_and_chunk(benchmark::internal::Benchmark* of) {
  of->ArgNames({"threads", "chunk"});
  for (const int64_t threads : {1, 2})
    for (const int64_t chunk : {4096, 65536, 1 << 20}) of->Args({threads, chunk});
  of->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(0.02);
}
BENCHMARK_CAPTURE(hash_chunks, xxh3_64, HashAlgorithm::xxh3_64)->Apply(by_threads_and_chunk);
BENCHMARK_CAPTURE(hash_chunks, xxh3_128, HashAlgorithm::xxh3_128)->Apply(by_threads_and_chunk);
BENCHMARK_CAPTURE(hash_chunks, crc32, HashAlgorithm::crc32)->Apply(by_threads_and_chunk);
BENCHMARK_CAPTURE(hash_chunks, crc32c, HashAlgorithm::crc32c)->Apply(by_threads_and_chunk);
BENCHMARK_CAPTURE(hash_chunks, sha256, HashAlgorithm::sha256)->Apply(by_threads_and_chunk);
BENCHMARK_CAPTURE(hash_chunks, blake2b, HashAlgorithm::blake2b)->Apply(by_threads_and_chunk);

// B3: one round over 64 MiB of which `per_million` of the pages have changed, by chunk size; whole:
// one hash over all. `sent_B` is what a sender then has to send.
void find_changes(benchmark::State& state) {
  constexpr uint64_t kBytes = 64 << 20;
  const auto chunk_bytes = static_cast<uint64_t>(state.range(0));
  const auto per_million = static_cast<uint64_t>(state.range(1));
  const FileDescriptor file = FileDescriptor::memory_file("changes", kBytes);
  const Mapping mapping = Mapping::shared(file, kBytes);
  fill_content(ContentKind::random, 1, mapping.bytes(), 0);
  const Watched watched{.memory = mapping.bytes(),
                        .geometry = {.size_bytes = kBytes, .chunk_bytes = chunk_bytes},
                        .file = file.get(),
                        .workers = 1};
  const auto detector = open_detector(DetectorKind::hash, watched, WriterSet::all());
  for (ChunkIndex chunk = 0; chunk < watched.geometry.chunk_count(); ++chunk)
    detector->note_held(chunk,
                        mapping.bytes().subspan(watched.geometry.chunk_start(chunk), chunk_bytes));
  SeededDraws draws(1);
  for (uint64_t i = 0; i < per_million * (kBytes / 4096) / 1'000'000; ++i)
    mapping.bytes()[draws.below(kBytes)] ^= std::byte{1};
  size_t named = 0;
  for (auto _ : state) named = detector->take().size();
  state.counters["sent_B"] = static_cast<double>(named * chunk_bytes);
}
BENCHMARK(find_changes)
    ->ArgNames({"chunk", "per_million"})
    ->ArgsProduct({{4096, 16384, 65536, 1 << 20, 64 << 20}, {100, 10'000}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(0.02);

// P8: a look at 1 GiB after `per_million` of its pages were written.
void look(benchmark::State& state, DetectorKind kind, unsigned workers) {
  const Region& region = Region::instance();
  const Watched watched = region.watched(workers);
  const WriterSet writers =
      kind == DetectorKind::mtime ? WriterSet{Writer::file_calls} : WriterSet{};
  const auto detector = open_detector(kind, watched, writers);
  if (detector->compares())
    for (ChunkIndex chunk = 0; chunk < kRegion.chunk_count(); ++chunk)
      detector->note_held(chunk, watched.memory.subspan(kRegion.chunk_start(chunk), 4096));
  while (!detector->take().empty()) {
  }
  size_t named = 0;
  for (auto _ : state) {
    state.PauseTiming();
    region.dirty(state.range(0));
    state.ResumeTiming();
    named = detector->take().size();
    benchmark::DoNotOptimize(named);
  }
  state.counters["named"] = static_cast<double>(named);
}

// The same question put to the kernel by nothing but the call.
void raw_scan(benchmark::State& state) {
  const Region& region = Region::instance();
  const auto memory = region.mapping.bytes();
  const Userfault userfault = Userfault::open({.tracking = Userfault::WriteTracking::scan});
  userfault.register_pages(memory, Userfault::Watch::writes);
  userfault.protect(memory);
  const FileDescriptor pagemap = FileDescriptor::open("/proc/self/pagemap", O_RDONLY);
  std::array<ScannedRun, 512> runs;
  for (auto _ : state) {
    state.PauseTiming();
    region.dirty(state.range(0));
    state.ResumeTiming();
    PagemapScan scan{};
    scan.size = sizeof(scan);
    scan.flags = kScanProtectMatching | kScanCheckAsync;
    scan.start = reinterpret_cast<uint64_t>(memory.data());
    scan.end = scan.start + memory.size();
    scan.vec = reinterpret_cast<uint64_t>(runs.data());
    scan.vec_len = runs.size();
    scan.category_mask = kPageIsWritten;
    scan.return_mask = kPageIsWritten;
    while (scan.start < scan.end) {
      check(::ioctl(pagemap.get(), kIoctlPagemapScan, &scan), "scanning");
      scan.start = scan.walk_end;
    }
  }
  userfault.unregister(memory);
}

// The same question put to the bytes by nothing but the library's function.
void raw_hashing(benchmark::State& state) {
  const auto memory = Region::instance().mapping.bytes();
  const auto threads = static_cast<unsigned>(state.range(0));
  std::vector<uint64_t> hashes(kRegion.chunk_count());
  for (auto _ : state) {
    std::vector<std::jthread> others;
    const auto part = [&](unsigned number) {
      const ChunkIndex share = kRegion.chunk_count() / threads;
      for (ChunkIndex chunk = number * share; chunk < (number + 1) * share; ++chunk)
        hashes[chunk] = digest_of(memory.subspan(chunk * 4096, 4096)).low;
    };
    for (unsigned number = 1; number < threads; ++number) others.emplace_back(part, number);
    part(0);
    others.clear();
    benchmark::DoNotOptimize(hashes.data());
  }
}

void by_dirty_share(benchmark::internal::Benchmark* of) {
  of->ArgName("per_million")->Arg(0)->Arg(100)->Arg(10'000);
  of->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(0.05);
}
void idle(benchmark::internal::Benchmark* of) {
  of->ArgName("per_million")->Arg(0)->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(0.05);
}
BENCHMARK(raw_scan)->Apply(by_dirty_share);
BENCHMARK_CAPTURE(look, scan, DetectorKind::scan, 1)->Apply(by_dirty_share);
BENCHMARK_CAPTURE(look, faults, DetectorKind::faults, 1)->Apply(by_dirty_share);
BENCHMARK(raw_hashing)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(0.05);
BENCHMARK_CAPTURE(look, hash_1_thread, DetectorKind::hash, 1)->Apply(idle);
BENCHMARK_CAPTURE(look, hash_2_threads, DetectorKind::hash, 2)->Apply(idle);
BENCHMARK_CAPTURE(look, shadow_1_thread, DetectorKind::shadow, 1)->Apply(idle);
BENCHMARK_CAPTURE(look, shadow_2_threads, DetectorKind::shadow, 2)->Apply(idle);
BENCHMARK_CAPTURE(look, mtime, DetectorKind::mtime, 1)->Apply(idle);

// What the writer pays: the first store to each page of 64 MiB after a look.
void first_stores(benchmark::State& state, std::optional<DetectorKind> kind) {
  constexpr uint64_t kBytes = 64 << 20;
  const FileDescriptor file = FileDescriptor::memory_file("stores", kBytes);
  const Mapping mapping = Mapping::shared(file, kBytes);
  fill_content(ContentKind::random, 1, mapping.bytes(), 0);
  const Watched watched{.memory = mapping.bytes(),
                        .geometry = {.size_bytes = kBytes, .chunk_bytes = 4096},
                        .file = file.get()};
  const auto detector = kind ? open_detector(*kind, watched, {}) : nullptr;
  for (auto _ : state) {
    state.PauseTiming();
    if (detector) benchmark::DoNotOptimize(detector->take());
    state.ResumeTiming();
    for (uint64_t page = 0; page < kBytes; page += 4096)
      *const_cast<volatile std::byte*>(&mapping.bytes()[page]) = std::byte{1};
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBytes / 4096));
}
BENCHMARK_CAPTURE(first_stores, untracked, std::nullopt)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(0.02);
BENCHMARK_CAPTURE(first_stores, scan, DetectorKind::scan)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(0.02);
BENCHMARK_CAPTURE(first_stores, faults, DetectorKind::faults)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(0.02);

// The share of a core that looking ten times a second takes, on 1 GiB that nobody writes.
void idle_at_10_hertz(benchmark::State& state, DetectorKind kind) {
  const Watched watched = Region::instance().watched();
  const auto detector = open_detector(
      kind, watched, kind == DetectorKind::mtime ? WriterSet{Writer::file_calls} : WriterSet{});
  while (!detector->take().empty()) {
  }
  const auto cpu_seconds = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  };
  const double before = cpu_seconds();
  const auto start = Clock::now();
  Deadline next = start;
  for (auto _ : state) {
    next += std::chrono::milliseconds(100);
    sleep_until_deadline(next);
    benchmark::DoNotOptimize(detector->take());
  }
  state.counters["percent_of_core"] =
      100 * (cpu_seconds() - before) / seconds(Clock::now() - start);
}
BENCHMARK_CAPTURE(idle_at_10_hertz, scan, DetectorKind::scan)
    ->Iterations(20)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(idle_at_10_hertz, mtime, DetectorKind::mtime)
    ->Iterations(20)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace memsync
