#include "lib/transport/native/request_receiver.h"

namespace memsync::native {

std::byte* RequestReceiver::on_header(const FrameHeader& header) {
  header_ = header;
  if ((header.flags & ~(kFlagBackground | kFlagMore)) != 0) throw_malformed("unknown flags");
  switch (header.kind) {
    case Kind::write:
      if (header.more()) throw_malformed("a write in pieces");
      write_ = Buffer::of(header.payload_bytes);
      return write_.bytes.get();
    case Kind::exchange:
    case Kind::suspend_and_collect:
      return begin_message(header);
    case Kind::read:
    case Kind::start_tracking:
    case Kind::resume:
    case Kind::release:
    case Kind::ping:
    case Kind::cancel:
      if (header.payload_bytes != 0 || header.more())
        throw_malformed("a payload where none belongs");
      return nullptr;
    case Kind::done:
    case Kind::failed:
    case Kind::pong:
      break;
  }
  throw_malformed("a request of unknown kind " + std::to_string(static_cast<int>(header.kind)));
}

std::byte* RequestReceiver::begin_message(const FrameHeader& header) {
  const auto [found, first] = assemblies_.try_emplace(header.id);
  Assembly& message = found->second;
  if (first) {
    if (assemblies_.size() > kAssembliesMax) throw_malformed("too many unfinished messages");
    message.first = header;
    if (header.detail > kTopicLimit) throw_malformed("a topic beyond its limit");
  } else if (message.first.kind != header.kind) {
    throw_malformed("a message that changes its kind");
  }
  const size_t before = message.bytes.size();
  if (before + header.payload_bytes > kMessageLimit) throw_malformed("an endless message");
  message.bytes.resize(before + header.payload_bytes);
  return message.bytes.data() + before;
}

void RequestReceiver::end_message() {
  if (header_.more()) return;
  auto node = assemblies_.extract(header_.id);
  Assembly& message = node.mapped();
  if (header_.kind == Kind::suspend_and_collect) {
    sink_.on_control(message.first, decode_ranges(message.bytes));
    return;
  }
  const size_t topic_bytes = message.first.detail;
  if (topic_bytes > message.bytes.size()) throw_malformed("a topic longer than its message");
  std::string topic(reinterpret_cast<const char*>(message.bytes.data()), topic_bytes);
  message.bytes.erase(message.bytes.begin(),
                      message.bytes.begin() + static_cast<std::ptrdiff_t>(topic_bytes));
  sink_.on_exchange(message.first, std::move(topic), std::move(message.bytes));
}

void RequestReceiver::on_frame_end() {
  switch (header_.kind) {
    case Kind::read:
      sink_.on_read(header_);
      return;
    case Kind::write:
      sink_.on_write(header_, std::move(write_));
      return;
    case Kind::exchange:
    case Kind::suspend_and_collect:
      end_message();
      return;
    case Kind::ping:
      sink_.on_ping(header_);
      return;
    case Kind::cancel:
      assemblies_.erase(header_.id);
      return;
    default:
      sink_.on_control(header_, {});
      return;
  }
}

}  // namespace memsync::native
