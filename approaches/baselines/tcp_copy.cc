#include "approaches/baselines/tcp_copy.h"

#include <array>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <sys/mman.h>
#include <vector>

#include "approaches/baselines/placed_memory.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"

namespace memsync::tcp_copy {

namespace {

constexpr std::string_view kService = "tcp_copy";
constexpr std::string_view kMagic = "MSYNCOPY";
constexpr uint64_t kPieceBytes = 1 << 20;
// A piece that takes longer than this has no peer any more.
constexpr Nanoseconds kStallLimit = std::chrono::seconds(30);

using Size = std::array<std::byte, 8>;
using Header = std::array<std::byte, 16>;

Size encode(uint64_t value) {
  Size bytes;
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(value >> (56 - 8 * i));
  return bytes;
}

uint64_t decode(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<uint64_t>(byte);
  return value;
}

SideSetup checked(SideSetup setup, bool needs_memory) {
  if (!setup.store || setup.network == nullptr)
    throw std::invalid_argument("tcp_copy needs a store and a network");
  const uint64_t held = needs_memory ? setup.store->mapping().size() : setup.store->size_bytes();
  if (held != setup.geometry.size_bytes)
    throw std::invalid_argument(
        "tcp_copy needs a store of the region's " + std::to_string(setup.geometry.size_bytes) +
        " bytes; this one holds " + std::to_string(held) + (needs_memory ? " in memory" : ""));
  return setup;
}

// One call instead of a page fault for every 4 KiB that the kernel copies. A hint: kernels before
// 5.14 do without.
void populate(std::span<std::byte> piece) {
  const auto start = reinterpret_cast<uintptr_t>(piece.data()) / page_bytes() * page_bytes();
  const auto end = reinterpret_cast<uintptr_t>(piece.data()) + piece.size();
  ::madvise(reinterpret_cast<void*>(start), round_up_to_page(end - start), MADV_POPULATE_WRITE);
}

void wait_readable(const Stream& stream) {
  pollfd wait{stream.descriptor(), POLLIN, 0};
  while (::poll(&wait, 1, -1) < 0)
    if (errno != EINTR) throw_errno("waiting for the next copy");
}

// The next header; false when the peer ended the stream instead.
bool read_header(Stream& stream, Header& header) {
  for (;;) {
    const iovec into{header.data(), header.size()};
    const auto got = stream.read_some({&into, 1});
    if (got && *got == 0) return false;
    if (got) {
      stream.read_all(std::span(header).subspan(*got), after(kStallLimit));
      return true;
    }
    wait_readable(stream);
  }
}

}  // namespace

// --- source ------------------------------------------------------------------------------------

SourceSide::SourceSide(SideSetup setup)
    : setup_(checked(std::move(setup), false)),
      listener_(setup_.network->listen(kService)),
      greeter_([this] { greet(); }) {}

SourceSide::~SourceSide() {
  listener_->close();
  MutexLock lock(mutex_);
  is_ending_ = true;
  for (const auto& stream : streams_) stream->shut_down();
}

RegionView SourceSide::region() {
  return {.memory = setup_.store->mapping(), .path = {}};
}

void SourceSide::greet() {
  try {
    for (uint32_t i = 0; i < setup_.destinations; ++i) {
      auto accepted = listener_->accept(Deadline::max());
      if (!accepted) return;
      MutexLock lock(mutex_);
      if (is_ending_) return;
      streams_.push_back(std::move(accepted));
    }
    send_copies(streams());
    MutexLock lock(mutex_);
    first_copy_done_ = true;
  } catch (...) {
    MutexLock lock(mutex_);
    failure_ = std::current_exception();
  }
  changed_.notify_all();
}

std::vector<Stream*> SourceSide::streams() const {
  MutexLock lock(mutex_);
  std::vector<Stream*> all;
  for (const auto& stream : streams_) all.push_back(stream.get());
  return all;
}

void SourceSide::send_copies(const std::vector<Stream*>& streams) {
  if (streams.size() == 1) return send_copy(*streams[0]);
  std::vector<std::exception_ptr> failures(streams.size());
  {
    std::vector<std::jthread> senders;
    for (size_t i = 0; i < streams.size(); ++i)
      senders.emplace_back([&, i] {
        try {
          send_copy(*streams[i]);
        } catch (...) {
          failures[i] = std::current_exception();
        }
      });
  }
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

void SourceSide::send_copy(Stream& stream) {
  const uint64_t size = setup_.geometry.size_bytes;
  Header header;
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  const Size encoded = encode(size);
  std::memcpy(header.data() + kMagic.size(), encoded.data(), encoded.size());
  stream.write_all(header, after(kStallLimit));

  const auto memory = setup_.store->readable_memory();
  std::vector<std::byte> buffer(memory.empty() ? std::min(kPieceBytes, size) : 0);
  for (uint64_t done = 0; done < size; done += kPieceBytes) {
    const uint64_t length = std::min(kPieceBytes, size - done);
    std::span<const std::byte> piece;
    if (memory.empty()) {
      setup_.store->read_at(std::span(buffer).first(length), done);
      piece = std::span(buffer).first(length);
    } else {
      piece = memory.subspan(done, length);
    }
    stream.write_all(piece, after(kStallLimit));
    sent_.fetch_add(length, std::memory_order_relaxed);
  }
  Size answer;
  stream.read_all(answer, after(kStallLimit));
  if (decode(answer) != size) throw_errno("the destination acknowledged another size", EPROTO);
}

void SourceSide::wait_for_destinations(Deadline deadline) {
  MutexLock lock(mutex_);
  while (!first_copy_done_ && !failure_)
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout)
      throw_errno("waiting for the destination's first copy", ETIMEDOUT);
  if (failure_) std::rethrow_exception(failure_);
}

std::optional<SyncReport> SourceSide::sync(Deadline deadline) {
  const auto start = Clock::now();
  wait_for_destinations(deadline);
  send_copies(streams());
  const ChunkIndex chunks = setup_.geometry.chunk_count();
  return SyncReport{.chunks_examined = chunks,
                    .chunks_moved = chunks * setup_.destinations,
                    .payload_bytes = setup_.geometry.size_bytes * setup_.destinations,
                    .elapsed = Clock::now() - start};
}

Statistics SourceSide::statistics() const {
  Statistics result;
  result.payload_sent = sent_.load(std::memory_order_relaxed);
  result.chunks_local = setup_.geometry.chunk_count();
  return result;
}

void SourceSide::rethrow_failure() const {
  std::exception_ptr failure;
  {
    MutexLock lock(mutex_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

// --- destination -------------------------------------------------------------------------------

DestinationSide::DestinationSide(SideSetup setup, Landing landing)
    : setup_(checked(std::move(setup), true)),
      landing_(landing),
      stream_(setup_.network->connect("source", kService, after(setup_.connect_limit))) {
  const std::stop_callback on_stop(setup_.stop, [this] { stream_->shut_down(); });
  Header header;
  if (!read_header(*stream_, header)) throw_errno("receiving the first copy", ECONNRESET);
  receive_copy(header);
  receiver_ = std::jthread([this] { receive_copies(); });
}

DestinationSide::~DestinationSide() {
  stream_->shut_down();
}

void DestinationSide::receive_copy(std::span<const std::byte> header) {
  const auto memory = setup_.store->mapping();
  const bool is_first = received_.load(std::memory_order_relaxed) == 0;
  if (std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0)
    throw_errno("receiving a copy: the peer is no tcp_copy source", EPROTO);
  if (const uint64_t size = decode(header.subspan(kMagic.size())); size != memory.size())
    throw_errno("receiving a copy: the source's region has " + std::to_string(size) +
                    " bytes, this one " + std::to_string(memory.size()),
                EPROTO);
  if (is_first && landing_.staging_bytes > 0)
    receive_placed(memory);
  else
    receive_pieces(memory, is_first);
  stream_->write_all(encode(memory.size()), after(kStallLimit));
}

void DestinationSide::receive_pieces(std::span<std::byte> memory, bool is_first) {
  for (uint64_t done = 0; done < memory.size(); done += kPieceBytes) {
    const auto piece = memory.subspan(done, std::min(kPieceBytes, memory.size() - done));
    if (is_first) populate(piece);
    stream_->read_all(piece, after(kStallLimit));
    received_.fetch_add(piece.size(), std::memory_order_release);
  }
}

void DestinationSide::receive_placed(std::span<std::byte> memory) {
  const baselines::PlacedMemory placed(memory);
  const Mapping staging = Mapping::anonymous(landing_.staging_bytes, Population::at_once);
  for (uint64_t done = 0; done < memory.size(); done += landing_.staging_bytes) {
    const uint64_t length = std::min(landing_.staging_bytes, memory.size() - done);
    const auto piece = staging.bytes().first(round_up_to_page(length));
    stream_->read_all(piece.first(length), after(kStallLimit));
    std::memset(piece.data() + length, 0, piece.size() - length);  // the tail's page
    placed.place(done, piece);
    received_.fetch_add(length, std::memory_order_release);
  }
  placed.finish();
}

void DestinationSide::receive_copies() {
  try {
    Header header;
    while (read_header(*stream_, header)) receive_copy(header);
  } catch (...) {
    MutexLock lock(mutex_);
    failure_ = std::current_exception();
  }
}

Statistics DestinationSide::statistics() const {
  Statistics result;
  result.payload_received = received_.load(std::memory_order_acquire);
  result.chunks_local = setup_.geometry.chunk_count();
  return result;
}

void DestinationSide::rethrow_failure() const {
  std::exception_ptr failure;
  {
    MutexLock lock(mutex_);
    failure = failure_;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace memsync::tcp_copy
