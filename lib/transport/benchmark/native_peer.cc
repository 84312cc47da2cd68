#include <latch>
#include <optional>
#include <utility>

#include "lib/transport/benchmark/read_peer.h"
#include "lib/transport/local_region.h"
#include "lib/transport/native/client.h"
#include "lib/transport/native/server.h"

namespace memsync::benchmarks {

namespace {

// Gives one stream, then nothing until it is closed.
class OneStream : public Listener {
 public:
  explicit OneStream(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}
  std::unique_ptr<Stream> accept(Deadline) override {
    if (stream_ == nullptr) closed_.wait();
    return std::move(stream_);
  }
  void close() noexcept override { closed_.count_down(); }

 private:
  std::unique_ptr<Stream> stream_;
  std::latch closed_{1};
};

// Keeps `in_flight` reads open from inside completed(), as a prefetcher does.
class Reading : public CompletionSink {
 public:
  Reading(RegionService& service, SeededDraws& draws, size_t count, size_t in_flight)
      : service_(service),
        draws_(draws),
        left_(count),
        open_(count),
        into_(in_flight * kReadBytes) {
    requests_.reserve(in_flight);
  }
  void start(size_t in_flight) {
    for (size_t i = 0; i < in_flight && left_ > 0; ++i) ask(i);
    // Answers may come before the call returns, and they fill requests_ again.
    const auto first = std::exchange(requests_, {});
    service_.start_reads(first, Urgency::demand, deadline_, *this);
  }
  void completed(std::span<Completion> done) noexcept override {
    open_ -= done.size();
    for (const auto& completion : done)
      if (left_ > 0) ask(completion.tag);
    if (!requests_.empty()) send();
    if (open_ == 0) finished_.count_down();
  }
  void wait() { finished_.wait(); }

 private:
  void ask(uint64_t slot) {
    --left_;
    requests_.push_back(
        {draw_offset(draws_), std::span(into_).subspan(slot * kReadBytes, kReadBytes), slot});
  }
  void send() {
    service_.start_reads(requests_, Urgency::demand, deadline_, *this);
    requests_.clear();
  }

  RegionService& service_;
  SeededDraws& draws_;
  size_t left_;
  size_t open_;
  std::vector<std::byte> into_;
  std::vector<ReadRequest> requests_;
  const Deadline deadline_ = after(std::chrono::seconds(60));
  std::latch finished_{1};
};

class NativePeer : public ReadPeer {
 public:
  explicit NativePeer(Wire wire) {
    auto [ours, theirs] = connected_sockets(wire);
    auto counters = std::make_shared<ByteCounters>();
    server_.emplace(
        std::make_unique<OneStream>(std::make_unique<SocketStream>(std::move(theirs), counters)),
        geometry_, RegionId{}, local_, NativeOptions{});
    auto stream = std::make_unique<SocketStream>(std::move(ours), counters);
    native::Hello hello = native::hello_of(geometry_, {});
    stream->write_all(std::as_bytes(std::span(&hello, 1)), after(std::chrono::seconds(5)));
    stream->read_all(std::as_writable_bytes(std::span(&hello, 1)), after(std::chrono::seconds(5)));
    client_.emplace(std::move(stream), geometry_, 0, NativeOptions{});
  }
  void read(size_t count, size_t in_flight) override {
    Reading reading(*client_, draws_, count, in_flight);
    reading.start(in_flight);
    reading.wait();
  }

 private:
  const Geometry geometry_{.size_bytes = kRegionBytes, .chunk_bytes = kReadBytes};
  SeededDraws draws_{2};
  LocalRegion local_{region(), nullptr, RegionId{}, {}};
  std::optional<native::Server> server_;
  std::optional<native::Client> client_;
};

}  // namespace

std::unique_ptr<ReadPeer> make_native_peer(Wire wire) {
  return std::make_unique<NativePeer>(wire);
}

}  // namespace memsync::benchmarks
