#include "lib/transport/native/wire.h"

#include <algorithm>
#include <cstring>

namespace memsync::native {

namespace {

std::string hex(const std::array<std::byte, 16>& id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : id) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

void append_number(std::vector<std::byte>& to, uint64_t number) {
  to.resize(to.size() + sizeof number);
  std::memcpy(to.data() + to.size() - sizeof number, &number, sizeof number);
}

uint64_t take_number(std::span<const std::byte>& from) {
  uint64_t number = 0;
  if (from.size() < sizeof number) throw_malformed("a suspension that ends early");
  std::memcpy(&number, from.data(), sizeof number);
  from = from.subspan(sizeof number);
  return number;
}

enum class DirtyForm : uint64_t { list = 0, bitmap = 1 };

std::vector<ChunkIndex> take_bitmap(std::span<const std::byte>& from, ChunkIndex chunk_count) {
  const uint64_t bytes = chunk_count / 8 + (chunk_count % 8 != 0);
  if (from.size() < bytes) throw_malformed("a dirty bitmap that ends early");
  std::vector<ChunkIndex> dirty;
  for (ChunkIndex chunk = 0; chunk < chunk_count; ++chunk)
    if ((std::to_integer<unsigned>(from[chunk / 8]) >> (chunk % 8) & 1U) != 0)
      dirty.push_back(chunk);
  from = from.subspan(bytes);
  return dirty;
}

std::vector<ChunkIndex> take_list(std::span<const std::byte>& from, ChunkIndex chunk_count) {
  const uint64_t count = take_number(from);
  if (count > from.size() / 8) throw_malformed("a dirty list longer than its message");
  std::vector<ChunkIndex> dirty(count);
  for (auto& chunk : dirty) chunk = take_number(from);
  const bool ascending =
      std::adjacent_find(dirty.begin(), dirty.end(), std::greater_equal<>()) == dirty.end();
  if (!ascending || (count > 0 && dirty.back() >= chunk_count))
    throw_malformed("a dirty list out of order or out of bounds");
  return dirty;
}

}  // namespace

Hello hello_of(const Geometry& geometry, const RegionId& region) {
  Hello hello;
  hello.size_bytes = geometry.size_bytes;
  hello.chunk_bytes = geometry.chunk_bytes;
  hello.id = region.id;
  hello.epoch = region.epoch;
  return hello;
}

std::string difference(const Hello& asker, const Hello& answerer, bool we_ask) {
  const Hello& ours = we_ask ? asker : answerer;
  const Hello& theirs = we_ask ? answerer : asker;
  std::string text;
  const auto add = [&text](const char* what, const std::string& our, const std::string& their) {
    if (!text.empty()) text += "; ";
    text += std::string(what) + " here " + our + ", at the peer " + their;
  };
  const auto number = [](uint64_t value) { return std::to_string(value); };
  if (ours.version != theirs.version) {
    add("protocol version", number(ours.version), number(theirs.version));
    return text;  // the rest may mean something else there
  }
  if (ours.size_bytes != theirs.size_bytes)
    add("region bytes", number(ours.size_bytes), number(theirs.size_bytes));
  if (ours.chunk_bytes != theirs.chunk_bytes)
    add("chunk bytes", number(ours.chunk_bytes), number(theirs.chunk_bytes));
  if (ours.id != theirs.id) add("region id", hex(ours.id), hex(theirs.id));
  if (answerer.epoch != asker.epoch && answerer.epoch != asker.epoch + 1)
    add("epoch", number(ours.epoch), number(theirs.epoch));
  return text;
}

void throw_malformed(const std::string& what) {
  throw std::system_error(make_error_code(RegionError::malformed), what);
}

FrameHeader failure_header(uint64_t id, std::error_code error) {
  FrameHeader header;
  header.kind = Kind::failed;
  header.id = id;
  if (error.category() == region_error_category()) header.flags = kFlagRegionError;
  const int value = error.value();
  header.detail = value > 0 && value <= UINT16_MAX ? static_cast<uint16_t>(value) : EIO;
  return header;
}

std::error_code error_of(const FrameHeader& failed) {
  if ((failed.flags & kFlagRegionError) != 0) return {failed.detail, region_error_category()};
  return {failed.detail, std::generic_category()};
}

uint32_t patience_until(Deadline deadline) {
  // Deadlines may be Clock's maximum: compare before subtracting.
  const Deadline now = Clock::now();
  if (deadline <= now) return 1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return left > UINT32_MAX ? 0 : static_cast<uint32_t>(left);
}

Deadline deadline_of(uint32_t patience_ms) {
  return patience_ms == 0 ? Deadline::max() : after(std::chrono::milliseconds(patience_ms));
}

std::vector<std::byte> encode_ranges(std::span<const ByteRange> ranges) {
  std::vector<std::byte> bytes;
  for (const auto& range : ranges) {
    append_number(bytes, range.offset);
    append_number(bytes, range.length);
  }
  return bytes;
}

std::vector<ByteRange> decode_ranges(std::span<const std::byte> bytes) {
  if (bytes.size() % 16 != 0) throw_malformed("ranges that are cut off");
  std::vector<ByteRange> ranges(bytes.size() / 16);
  for (auto& range : ranges) {
    range.offset = take_number(bytes);
    range.length = take_number(bytes);
  }
  return ranges;
}

std::vector<std::byte> encode_suspension(const Suspension& suspension, ChunkIndex chunk_count) {
  std::vector<std::byte> bytes;
  append_number(bytes, static_cast<uint64_t>(suspension.suspending.count()));
  const uint64_t bitmap_bytes = chunk_count / 8 + (chunk_count % 8 != 0);
  if (suspension.dirty_chunks.size() <= bitmap_bytes / 8) {
    append_number(bytes, static_cast<uint64_t>(DirtyForm::list));
    append_number(bytes, suspension.dirty_chunks.size());
    for (const ChunkIndex chunk : suspension.dirty_chunks) append_number(bytes, chunk);
  } else {
    append_number(bytes, static_cast<uint64_t>(DirtyForm::bitmap));
    const size_t start = bytes.size();
    bytes.resize(start + bitmap_bytes);
    for (const ChunkIndex chunk : suspension.dirty_chunks)
      if (chunk < chunk_count) bytes[start + chunk / 8] |= std::byte{1} << (chunk % 8);
  }
  bytes.insert(bytes.end(), suspension.wanted.begin(), suspension.wanted.end());
  return bytes;
}

Suspension decode_suspension(std::span<const std::byte> bytes, ChunkIndex chunk_count,
                             uint64_t wanted_bytes) {
  Suspension found;
  found.suspending = Nanoseconds(static_cast<int64_t>(take_number(bytes) & INT64_MAX));
  const uint64_t form = take_number(bytes);
  if (form > static_cast<uint64_t>(DirtyForm::bitmap)) throw_malformed("an unknown dirty form");
  found.dirty_chunks = form == static_cast<uint64_t>(DirtyForm::list)
                           ? take_list(bytes, chunk_count)
                           : take_bitmap(bytes, chunk_count);
  if (bytes.size() != wanted_bytes) throw_malformed("not the bytes that were wanted");
  found.wanted.assign(bytes.begin(), bytes.end());
  return found;
}

}  // namespace memsync::native
