// Reads of 4 KiB through the native protocol, beside its ceiling and its rivals. Compare within
// one interleaved run:
//   transport_benchmark --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
//       --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include "lib/transport/benchmark/read_peer.h"

namespace memsync::benchmarks {
namespace {

using MakePeer = std::unique_ptr<ReadPeer> (*)(Wire);

void reads(benchmark::State& state, MakePeer make, Wire wire) {
  const auto in_flight = static_cast<size_t>(state.range(0));
  const size_t count = in_flight == 1 ? 500 : 20'000;
  const auto peer = make(wire);
  peer->read(count, in_flight);  // connections, pages and caches are warm
  for (auto _ : state) peer->read(count, in_flight);
  state.SetItemsProcessed(static_cast<int64_t>(count) * state.iterations());
}

void options(benchmark::internal::Benchmark* of) {
  of->ArgName("in_flight")->Arg(64)->Arg(1)->UseRealTime()->MinTime(0.05);
  of->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(reads, raw_tcp, make_raw_peer, Wire::tcp)->Apply(options);
BENCHMARK_CAPTURE(reads, native_tcp, make_native_peer, Wire::tcp)->Apply(options);
BENCHMARK_CAPTURE(reads, asio_tcp, make_asio_peer, Wire::tcp)->Apply(options);
BENCHMARK_CAPTURE(reads, raw_unix, make_raw_peer, Wire::unix_socket)->Apply(options);
BENCHMARK_CAPTURE(reads, native_unix, make_native_peer, Wire::unix_socket)->Apply(options);
BENCHMARK_CAPTURE(reads, asio_unix, make_asio_peer, Wire::unix_socket)->Apply(options);
#ifdef MEMSYNC_HAVE_GRPC
BENCHMARK_CAPTURE(reads, grpc_tcp, make_grpc_peer, Wire::tcp)->Apply(options);
BENCHMARK_CAPTURE(reads, grpc_unix, make_grpc_peer, Wire::unix_socket)->Apply(options);
#endif

}  // namespace
}  // namespace memsync::benchmarks
