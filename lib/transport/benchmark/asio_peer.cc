#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <sys/socket.h>
#include <thread>

#include "lib/transport/benchmark/read_peer.h"

namespace memsync::benchmarks {

namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;
using boost::system::error_code;

class AsioPeer : public ReadPeer {
 public:
  explicit AsioPeer(Wire wire) {
    auto [ours, theirs] = connected_sockets(wire);
    const int family = wire == Wire::tcp ? AF_INET : AF_UNIX;
    client_.assign({family, wire == Wire::tcp ? IPPROTO_TCP : 0}, ours.release());
    server_.assign({family, wire == Wire::tcp ? IPPROTO_TCP : 0}, theirs.release());
    next_request();
    thread_ = std::jthread([this] { server_io_.run(); });
  }
  ~AsioPeer() override { server_io_.stop(); }

  void read(size_t count, size_t in_flight) override {
    into_.resize(kReadBytes);
    to_ask_ = count;
    to_answer_ = count;
    ask(std::min(count, in_flight));
    next_answer();
    client_io_.restart();
    client_io_.run();
  }

 private:
  void next_request() {
    asio::async_read(server_, asio::buffer(request_), [this](const error_code& error, size_t) {
      if (error) return;
      uint64_t offset = 0;
      std::memcpy(&offset, request_.data(), sizeof offset);
      const auto memory = region().readable_memory();
      const std::array<asio::const_buffer, 2> answer{
          asio::buffer(request_), asio::buffer(memory.data() + offset, kReadBytes)};
      asio::async_write(server_, answer, [this](const error_code& failed, size_t) {
        if (!failed) next_request();
      });
    });
  }
  // Requests wait for each other's async_write, which may not overlap.
  void ask(size_t count) {
    pending_ += count;
    if (writing_ || pending_ == 0) return;
    writing_ = true;
    requests_.assign(pending_ * kHeaderBytes, std::byte{0});
    for (size_t i = 0; i < pending_; ++i) {
      const uint64_t offset = draw_offset(draws_);
      std::memcpy(requests_.data() + i * kHeaderBytes, &offset, sizeof offset);
    }
    to_ask_ -= pending_;
    pending_ = 0;
    asio::async_write(client_, asio::buffer(requests_), [this](const error_code&, size_t) {
      writing_ = false;
      ask(0);
    });
  }
  void next_answer() {
    const std::array<asio::mutable_buffer, 2> into{asio::buffer(answer_), asio::buffer(into_)};
    asio::async_read(client_, into, [this](const error_code& error, size_t) {
      if (error || --to_answer_ == 0) return;
      if (to_ask_ > pending_) ask(1);
      next_answer();
    });
  }

  SeededDraws draws_{2};
  asio::io_context client_io_{1}, server_io_{1};
  Socket client_{client_io_}, server_{server_io_};
  std::array<std::byte, kHeaderBytes> request_{}, answer_{};
  std::vector<std::byte> requests_, into_;
  size_t pending_ = 0, to_ask_ = 0, to_answer_ = 0;
  bool writing_ = false;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<ReadPeer> make_asio_peer(Wire wire) {
  return std::make_unique<AsioPeer>(wire);
}

}  // namespace memsync::benchmarks
