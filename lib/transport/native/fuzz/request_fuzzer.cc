// Whatever a client sends: the server's decoder keeps its limits or says malformed.
#include "lib/transport/native/fuzz/feed.h"
#include "lib/transport/native/request_receiver.h"

namespace memsync::native {
namespace {

class CheckingSink : public RequestSink {
 public:
  void on_hello(const Hello& hello) override {
    require(!greeted_ && hello.magic == Hello::kMagic);
    greeted_ = true;
    difference(hello, hello_of({.size_bytes = 1U << 20}, {}), false);
  }
  void on_read(const FrameHeader& header) override {
    require(greeted_ && header.payload_bytes == 0);
  }
  void on_write(const FrameHeader& header, Buffer bytes) override {
    require(bytes.size == header.payload_bytes && bytes.size <= kFramePayloadLimit);
    touch(bytes.span());
  }
  void on_exchange(const FrameHeader&, std::string topic, std::vector<std::byte> request) override {
    require(topic.size() <= kTopicLimit && request.size() <= kMessageLimit);
    touch(request);
  }
  void on_control(const FrameHeader& header, std::vector<ByteRange> wanted) override {
    require(header.kind == Kind::suspend_and_collect || wanted.empty());
  }
  void on_ping(const FrameHeader&) override {}

 private:
  // Reads every byte, so that the sanitizer sees whether they are there.
  void touch(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) sum_ = sum_ + std::to_integer<unsigned>(byte);
  }
  bool greeted_ = false;
  volatile unsigned sum_ = 0;
};

}  // namespace
}  // namespace memsync::native

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace memsync::native;  // NOLINT(google-build-using-namespace)
  CheckingSink sink;
  RequestReceiver receiver(sink);
  FrameDecoder decoder(receiver, FrameDecoder::First::hello);
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  // Half of the inputs skip the hello, so that frames are reached at once.
  if (!bytes.empty() && (std::to_integer<unsigned>(bytes[0]) & 1U) != 0) {
    const Hello hello = hello_of({.size_bytes = 1U << 20}, {});
    decoder.consume(std::as_bytes(std::span(&hello, 1)));
  }
  feed(decoder, bytes);
  return 0;
}
