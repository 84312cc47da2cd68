// Whatever a receiver says to a hub: its connection ends, and another one is served as before.
#include "approaches/mmap_push/hub/hub_pair.h"
#include "approaches/mmap_push/passing_stream.h"
#include "approaches/mmap_push/recorded_push.h"

namespace memsync::mmap_push {
namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

// A hub's folder with one file, and what an honest receiver says to it.
struct Served {
  Served() : place(TemporaryFolder::make(kMemoryFolder)) {
    put_file(place.path() + "/data", seeded(5 * 4096 + 100, 1));
    folder.load([](const std::string&) { return true; });
    serve([this](Stream& stream) {
      const TemporaryFolder inbox = TemporaryFolder::make(kMemoryFolder);
      put_file(inbox.path() + "/data", seeded(3 * 4096, 1));
      ReceivedFolder received(inbox.path(), Publish::versions, Durable::off);
      ReceiverEvents events;
      events.settled = [&] { stream.shut_down(); };
      SayingStream saying(stream);
      try {
        Receiver(saying, received, events, after(PushPair::kPatience), PushPair::kPatience,
                 {.may_be_hub = true})
            .serve();
      } catch (const std::system_error&) {
        // It has shut the stream down itself.
      }
      said = saying.said;
    });
    require(said.size() > 3 * sizeof(FrameHeader));
  }

  // `receiver` is given its end of a stream, and the hub serves the other one.
  template <typename Peer>
  void serve(const Peer& receiver) {
    auto [ours, theirs] = stream_pair();
    auto serving = std::async(std::launch::async, [&, &stream = *theirs] {
      const Ending ending = ending_of([&] {
        const Hello hello = read_hello(stream, after(PushPair::kPatience));
        ForwarderEvents events;
        events.may_read = [](const std::string&) { return true; };
        Forwarder(stream, folder, "peer", {}, events, hello, after(PushPair::kPatience)).serve();
      });
      require(ending.code != of_errno(ETIMEDOUT));  // the peer had ended the stream
      require(!ending.code || !ending.text.empty());
      stream.shut_down();
    });
    receiver(*ours);
    serving.get();
  }

  // Passes everything on and keeps what is written.
  class SayingStream : public PassingStream {
   public:
    using PassingStream::PassingStream;
    std::optional<size_t> write_some(std::span<const iovec> from) override {
      const auto moved = PassingStream::write_some(from);
      size_t left = moved.value_or(0);
      for (const iovec& part : from) {
        const auto* bytes = static_cast<const std::byte*>(part.iov_base);
        const size_t count = std::min(left, part.iov_len);
        said.insert(said.end(), bytes, bytes + count);
        left -= count;
      }
      return moved;
    }
    Bytes said;
  };

  const TemporaryFolder place;
  HubFolder folder{place.path(), Durable::off, 7};
  Bytes said;
};

void try_receiver(std::span<const std::byte> input) {
  static Served served;
  served.serve([&](Stream& stream) {
    try {
      stream.write_all(input.size() > 1 && input[0] == std::byte{255}
                           ? Bytes(input.begin() + 1, input.end())
                           : changed_by(served.said, input),
                       after(PushPair::kPatience));
      ::shutdown(stream.descriptor(), SHUT_WR);
      Bytes piece(1 << 16);
      while (stream.read_part(piece, after(PushPair::kPatience)) > 0) {
      }
    } catch (const std::system_error& problem) {
      require(problem.code() != of_errno(ETIMEDOUT));
    }
  });
  const auto holdings = served.folder.published_from(0).at(0)->holdings();
  require(holdings.empty());
}

}  // namespace
}  // namespace memsync::mmap_push

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  memsync::mmap_push::try_receiver({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
