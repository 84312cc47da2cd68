// The server's half of decoding: hello and requests, checked against the protocol's limits.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/transport/native/frame_decoder.h"

namespace memsync::native {

// What the requests are given to. Ranges and epochs are still to be checked against the region.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  virtual void on_hello(const Hello& hello) = 0;
  virtual void on_read(const FrameHeader& header) = 0;
  virtual void on_write(const FrameHeader& header, Buffer bytes) = 0;
  virtual void on_exchange(const FrameHeader& header, std::string topic,
                           std::vector<std::byte> request) = 0;
  // start_tracking, suspend_and_collect (with `wanted`), resume, release.
  virtual void on_control(const FrameHeader& header, std::vector<ByteRange> wanted) = 0;
  virtual void on_ping(const FrameHeader& header) = 0;
};

// Knows no socket. Throws malformed through the decoder. Threads: one at a time.
class RequestReceiver : public FrameDecoder::Handler {
 public:
  // Messages of one peer that may be incomplete at a time: one per urgency, and as many again
  // that it gives up.
  static constexpr size_t kAssembliesMax = 4;

  explicit RequestReceiver(RequestSink& sink) : sink_(sink) {}  // outlives this

  void on_hello(const Hello& hello) override { sink_.on_hello(hello); }
  std::byte* on_header(const FrameHeader& header) override;
  void on_frame_end() override;

 private:
  std::byte* begin_message(const FrameHeader& header);
  void end_message();

  RequestSink& sink_;
  FrameHeader header_;
  Buffer write_;
  struct Assembly {
    FrameHeader first;
    std::vector<std::byte> bytes;
  };
  std::map<uint64_t, Assembly> assemblies_;
};

}  // namespace memsync::native
