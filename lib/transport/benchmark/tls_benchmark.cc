// Bytes through one connection over loopback: plain, by OpenSSL alone, and by streams of ours.
//
//   transport_tls_benchmark --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
#include <benchmark/benchmark.h>
#include <functional>
#include <sys/socket.h>
#include <thread>

#include "lib/os/error.h"
#include "lib/transport/network.h"
#include "lib/transport/tls/certificate_authority.h"
#include "lib/transport/tls/tls_network.h"

namespace memsync {
namespace {

constexpr size_t kBytes = 256 << 20;
constexpr size_t kPiece = 1 << 20;
constexpr size_t kRecord = 16 << 10;

Deadline soon() {
  return after(std::chrono::seconds(60));
}

// Both ends of a connection; each call moves kBytes and returns when they have come.
struct Ends {
  std::function<void(std::span<const std::byte> piece)> write;
  std::function<void(std::span<std::byte> piece)> read;
};

struct Streams {
  explicit Streams(std::unique_ptr<Network> made) : network(std::move(made)) {
    const auto listener = network->listen("");
    std::jthread other([&] { theirs = listener->accept(soon()); });
    // The handshake needs somebody who reads.
    std::jthread answering([&] {
      other.join();
      std::byte byte{};
      theirs->read_all({&byte, 1}, soon());
    });
    ours = make_dialled();
    const std::byte byte{};
    ours->write_all({&byte, 1}, soon());
  }
  std::unique_ptr<Stream> make_dialled() const { return network->connect("localhost", "", soon()); }
  Ends ends() {
    return {[this](auto piece) { ours->write_all(piece, soon()); },
            [this](auto piece) { theirs->read_all(piece, soon()); }};
  }
  std::unique_ptr<Network> network;
  std::unique_ptr<Stream> ours, theirs;
};

// A network that dials where it listens, whatever port that became.
class OwnPort : public Network {
 public:
  std::unique_ptr<Listener> listen(std::string_view service) override {
    return listening_->listen(service);
  }
  std::unique_ptr<Stream> connect(std::string_view host, std::string_view service,
                                  Deadline deadline) override {
    return make_address_network(listening_->address(""))->connect(host, service, deadline);
  }
  std::string address(std::string_view host) const override { return listening_->address(host); }
  uint64_t bytes_received() const noexcept override { return 0; }
  uint64_t bytes_sent() const noexcept override { return 0; }

 private:
  const std::unique_ptr<Network> listening_ = make_address_network("127.0.0.1:0");
};

std::shared_ptr<TlsCredentials> credentials() {
  static const auto kMade =
      TlsCredentials::from_pem(CertificateAuthority::make("benchmark").issue("localhost"));
  return kMade;
}

// SSL_write and SSL_read of 16 KiB on blocking sockets: what a program without us would do. The
// same context, without reading ahead, which OpenSSL does not do by itself.
struct RawOpenssl {
  RawOpenssl() : streams(std::make_unique<OwnPort>()), context(credentials()->context()) {
    client = make(*streams.ours);
    server = make(*streams.theirs);
    std::jthread other([&] { SSL_accept(server.get()); });
    if (SSL_connect(client.get()) != 1) throw_errno("shaking hands", EPROTO);
  }
  tls::SslHandle make(const Stream& stream) const {
    const int blocking = ::fcntl(stream.descriptor(), F_GETFL) & ~O_NONBLOCK;
    ::fcntl(stream.descriptor(), F_SETFL, blocking);
    tls::SslHandle made(SSL_new(context.get()));
    SSL_set_read_ahead(made.get(), 0);
    SSL_set_default_read_buffer_len(made.get(), 0);
    SSL_set_fd(made.get(), stream.descriptor());
    return made;
  }
  Ends ends() {
    const auto all = [](SSL* ssl, auto piece, auto move) {
      while (!piece.empty()) {
        size_t moved = 0;
        if (move(ssl, piece.data(), std::min(piece.size(), kRecord), &moved) != 1)
          throw_errno("moving bytes", EPROTO);
        piece = piece.subspan(moved);
      }
    };
    return {[=, this](auto piece) { all(client.get(), piece, SSL_write_ex); },
            [=, this](auto piece) { all(server.get(), piece, SSL_read_ex); }};
  }
  Streams streams;
  std::shared_ptr<SSL_CTX> context;
  tls::SslHandle client, server;
};

template <typename Connection>
void move_bytes(benchmark::State& state, Connection connection) {
  const Ends ends = connection->ends();
  const std::vector<std::byte> from(kPiece, std::byte{7});
  std::vector<std::byte> into(kPiece);
  for (auto _ : state) {
    std::jthread writer([&] {
      for (size_t done = 0; done < kBytes; done += kPiece) ends.write(from);
    });
    for (size_t done = 0; done < kBytes; done += kPiece) ends.read(into);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kBytes));
}

void plain(benchmark::State& state) {
  move_bytes(state, std::make_unique<Streams>(std::make_unique<OwnPort>()));
}
void raw_openssl(benchmark::State& state) {
  move_bytes(state, std::make_unique<RawOpenssl>());
}
void tls_stream(benchmark::State& state) {
  move_bytes(state, std::make_unique<Streams>(
                        make_tls_network(std::make_unique<OwnPort>(), credentials())));
}

BENCHMARK(plain)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(4);
BENCHMARK(raw_openssl)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(4);
BENCHMARK(tls_stream)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(4);

}  // namespace
}  // namespace memsync
