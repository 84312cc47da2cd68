#include <atomic>
#include <grpcpp/grpcpp.h>
#include <latch>
#include <unistd.h>

#include "lib/transport/benchmark/read_peer.h"

#include "read.grpc.pb.h"

namespace memsync::benchmarks {

namespace {

class Service : public Region::CallbackService {
 public:
  grpc::ServerUnaryReactor* Read(grpc::CallbackServerContext* context, const ReadRange* range,
                                 ReadBytes* bytes) override {
    const auto memory = region().readable_memory();
    bytes->set_data(memory.data() + range->offset(), range->length());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class GrpcPeer : public ReadPeer {
 public:
  explicit GrpcPeer(Wire wire) {
    const std::string path = "unix:/tmp/memsync-grpc-" + std::to_string(::getpid());
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(wire == Wire::tcp ? "127.0.0.1:0" : path,
                             grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = Region::NewStub(
        grpc::CreateChannel(wire == Wire::tcp ? "127.0.0.1:" + std::to_string(port) : path,
                            grpc::InsecureChannelCredentials()));
  }
  ~GrpcPeer() override { server_->Shutdown(); }

  void read(size_t count, size_t in_flight) override {
    std::latch finished{static_cast<std::ptrdiff_t>(count)};
    std::atomic<size_t> left{count};
    std::vector<Call> calls(std::min(count, in_flight));
    for (size_t i = 0; i < calls.size(); ++i) {
      calls[i].draws.emplace(i);
      next(calls[i], left, finished);
    }
    finished.wait();
  }

 private:
  struct Call {
    std::optional<SeededDraws> draws;
    std::optional<grpc::ClientContext> context;
    ReadRange range;
    ReadBytes bytes;
  };
  void next(Call& call, std::atomic<size_t>& left, std::latch& finished) {
    size_t before = left.load();
    do {
      if (before == 0) return;
    } while (!left.compare_exchange_weak(before, before - 1));
    call.context.emplace();
    call.range.set_offset(draw_offset(*call.draws));
    call.range.set_length(kReadBytes);
    stub_->async()->Read(&*call.context, &call.range, &call.bytes,
                         [this, &call, &left, &finished](const grpc::Status& status) {
                           if (!status.ok()) std::abort();  // a benchmark without answers
                           next(call, left, finished);
                           finished.count_down();
                         });
  }

  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Region::Stub> stub_;
};

}  // namespace

std::unique_ptr<ReadPeer> make_grpc_peer(Wire wire) {
  return std::make_unique<GrpcPeer>(wire);
}

}  // namespace memsync::benchmarks
