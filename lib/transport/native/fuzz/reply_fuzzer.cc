// Whatever a server sends: only the open requests' own bytes are written, and each ends once.
#include <array>
#include <memory>

#include "lib/transport/native/fuzz/feed.h"
#include "lib/transport/native/reply_receiver.h"

namespace memsync::native {
namespace {

constexpr ChunkIndex kChunks = 100;
constexpr std::array kKinds{
    Kind::read, Kind::read, Kind::write, Kind::exchange, Kind::suspend_and_collect, Kind::resume};

class Asker : public ReplyReceiver::Owner {
 public:
  Asker() {
    for (size_t i = 0; i < kKinds.size(); ++i) {
      OpenRequest* request = table.open();
      request->kind = kKinds[i];
      request->bytes = kKinds[i] == Kind::read || kKinds[i] == Kind::write ? 16U << i : 0;
      // Heap memory of exactly that size: the sanitizer sees a byte too many.
      memory_[i] = std::make_unique<std::byte[]>(request->bytes);
      if (kKinds[i] == Kind::read) request->into = memory_[i].get();
      request->tag = i;
      request->sent = i != 1;  // the second read is still queued
      RequestTable::publish(*request, RequestTable::next_id(*request));
    }
  }
  bool fully_sent(OpenRequest& request) override { return request.sent; }
  void answered(OpenRequest& request, std::error_code error, std::string_view text) override {
    require(!ended_[request.tag] && request.sent && text.size() <= kErrorTextLimit);
    ended_[request.tag] = true;
    request.id = 0;
    if (error || request.kind != Kind::suspend_and_collect) return;
    try {
      const Suspension found = decode_suspension(request.reply, kChunks, 8);
      require(found.wanted.size() == 8 && found.dirty_chunks.size() <= kChunks);
      for (const ChunkIndex chunk : found.dirty_chunks) require(chunk < kChunks);
    } catch (const std::system_error& malformed) {
      require(malformed.code() == make_error_code(RegionError::malformed));
    }
  }

  RequestTable table;

 private:
  std::array<std::unique_ptr<std::byte[]>, kKinds.size()> memory_;
  std::array<bool, kKinds.size()> ended_{};
};

}  // namespace
}  // namespace memsync::native

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace memsync::native;  // NOLINT(google-build-using-namespace)
  Asker asker;
  ReplyReceiver receiver(asker.table, asker);
  FrameDecoder decoder(receiver, FrameDecoder::First::frame);
  feed(decoder, {reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
