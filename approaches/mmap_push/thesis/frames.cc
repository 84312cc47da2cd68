#include "approaches/mmap_push/thesis/frames.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <stdexcept>

#include "lib/os/error.h"

namespace memsync::mmap_push::thesis {

static_assert(std::endian::native == std::endian::little, "lengths are copied as they are");

namespace {

using nlohmann::json;

constexpr size_t kLengthBytes = 4;

[[noreturn]] void refuse(const std::string& what) {
  throw_errno("the peer of the thesis's protocol sent " + what, EPROTO);
}

std::vector<std::byte> frame_of(std::string_view text) {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    throw_errno("a frame of " + std::to_string(text.size()) + " bytes", EFBIG);
  const auto length = static_cast<int32_t>(text.size());
  std::vector<std::byte> frame(kLengthBytes + text.size());
  std::memcpy(frame.data(), &length, kLengthBytes);
  std::memcpy(frame.data() + kLengthBytes, text.data(), text.size());
  return frame;
}

// Takes a flat array piece by piece, so that hostile nesting or types cost nothing.
// `Derived::element(value)` gets strings or unsigned numbers, whichever it has.
class FlatArray : public json::json_sax_t {
 public:
  explicit FlatArray(const char* what) : what_(what) {}
  bool null() override { return wrong(); }
  bool boolean(bool) override { return wrong(); }
  bool number_integer(json::number_integer_t) override { return wrong(); }
  bool number_unsigned(json::number_unsigned_t) override { return wrong(); }
  bool number_float(json::number_float_t, const json::string_t&) override { return wrong(); }
  bool string(json::string_t&) override { return wrong(); }
  bool binary(json::binary_t&) override { return wrong(); }
  bool start_object(std::size_t) override { return wrong(); }
  bool key(json::string_t&) override { return wrong(); }
  bool end_object() override { return wrong(); }
  bool start_array(std::size_t) override { return is_open_ ? wrong() : (is_open_ = true); }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override {
    return wrong();
  }

 protected:
  bool wrong() const { refuse(std::string("no ") + what_); }
  bool is_open() const { return is_open_; }

 private:
  const char* what_;
  bool is_open_ = false;
};

class HashArray : public FlatArray {
 public:
  explicit HashArray(uint64_t blocks_max) : FlatArray("list of hashes"), blocks_max_(blocks_max) {}
  bool string(json::string_t& text) override {
    if (!is_open()) return wrong();
    if (hashes.size() == blocks_max_)
      refuse("hashes of more than " + std::to_string(blocks_max_) + " blocks");
    if (text.size() != 8 || text.find_first_not_of("0123456789abcdef") != std::string::npos)
      refuse("a hash that is not eight hexadecimal digits");
    BlockHash hash = 0;
    std::from_chars(text.data(), text.data() + text.size(), hash, 16);
    hashes.push_back(hash);
    return true;
  }
  std::vector<BlockHash> hashes;

 private:
  uint64_t blocks_max_;
};

class IndexArray : public FlatArray {
 public:
  explicit IndexArray(uint64_t blocks_max)
      : FlatArray("list of block numbers"), blocks_max_(blocks_max) {}
  bool number_unsigned(json::number_unsigned_t index) override {
    if (!is_open()) return wrong();
    if (index >= blocks_max_)
      refuse("block number " + std::to_string(index) + ", of at most " +
             std::to_string(blocks_max_) + " blocks");
    if (!indexes.empty() && index <= indexes.back())
      refuse("block numbers that do not ascend: " + std::to_string(index) + " after " +
             std::to_string(indexes.back()));
    indexes.push_back(index);
    return true;
  }
  bool number_integer(json::number_integer_t index) override {
    refuse("block number " + std::to_string(index));
  }
  std::vector<uint64_t> indexes;

 private:
  uint64_t blocks_max_;
};

template <typename Handler>
void parse(std::span<const std::byte> text, Handler& handler) {
  const auto* first = reinterpret_cast<const char*>(text.data());
  json::sax_parse(first, first + text.size(), &handler);
}

// A value by itself, never an array or an object.
json parse_scalar(std::span<const std::byte> text, const char* what) {
  const auto* first = reinterpret_cast<const char*>(text.data());
  // Stops at the first bracket, so nothing is built of it.
  const auto refuse_nesting = [what](int, json::parse_event_t event, json&) -> bool {
    if (event == json::parse_event_t::array_start || event == json::parse_event_t::object_start)
      refuse(std::string("no ") + what);
    return true;
  };
  json value = json::parse(first, first + text.size(), refuse_nesting, false);
  if (value.is_discarded()) refuse(std::string("no ") + what);
  return value;
}

}  // namespace

std::vector<std::byte> encode_hashes(std::span<const BlockHash> hashes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "[";
  text.reserve(2 + hashes.size() * 11);
  for (const BlockHash hash : hashes) {
    text += text.size() == 1 ? "\"" : ",\"";
    for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[hash >> shift & 15U];
    text += '"';
  }
  text += ']';
  return frame_of(text);
}

std::vector<std::byte> encode_indexes(std::span<const uint64_t> indexes) {
  std::string text = "[";
  for (const uint64_t index : indexes) {
    if (text.size() > 1) text += ',';
    text += std::to_string(index);
  }
  text += ']';
  return frame_of(text);
}

std::vector<std::byte> encode_cutoff(Cutoff cutoff) {
  return frame_of(cutoff ? std::to_string(*cutoff) : "-1");
}

std::vector<std::byte> encode_text(std::string_view text) {
  try {
    return frame_of(json(text).dump());
  } catch (const json::type_error&) {
    throw std::invalid_argument("a name that is no UTF-8 can't travel as JSON");
  }
}

size_t frame_limit(uint64_t blocks_max) noexcept {
  constexpr uint64_t kMost = std::numeric_limits<int32_t>::max();
  return static_cast<size_t>(blocks_max > (kMost - 64) / 24 ? kMost : 64 + 24 * blocks_max);
}

size_t decode_length(std::span<const std::byte, kLengthBytes> bytes, size_t limit) {
  int32_t length = 0;
  std::memcpy(&length, bytes.data(), bytes.size());
  if (length <= 0 || static_cast<size_t>(length) > limit)
    refuse("a frame of " + std::to_string(length) + " bytes, of 1 to " + std::to_string(limit));
  return static_cast<size_t>(length);
}

std::vector<BlockHash> decode_hashes(std::span<const std::byte> text, uint64_t blocks_max) {
  HashArray array(blocks_max);
  parse(text, array);
  return std::move(array.hashes);
}

std::vector<uint64_t> decode_indexes(std::span<const std::byte> text, uint64_t blocks_max) {
  IndexArray array(blocks_max);
  parse(text, array);
  return std::move(array.indexes);
}

Cutoff decode_cutoff(std::span<const std::byte> text, uint64_t block_bytes) {
  const json value = parse_scalar(text, "cutoff");
  if (!value.is_number_integer()) refuse("no cutoff");
  if (value.is_number_unsigned()) {
    const auto cutoff = value.get<uint64_t>();
    if (cutoff < block_bytes) return cutoff;
  } else if (value.get<int64_t>() == -1) {
    return std::nullopt;
  }
  refuse("cutoff " + value.dump() + " for blocks of " + std::to_string(block_bytes) + " bytes");
}

std::string decode_text(std::span<const std::byte> text) {
  json value = parse_scalar(text, "text");
  if (!value.is_string()) refuse("no text");
  return std::move(value.get_ref<std::string&>());
}

std::optional<std::vector<std::byte>> next_frame(Stream& stream, size_t limit,
                                                 Nanoseconds patience) {
  std::array<std::byte, kLengthBytes> length;
  const iovec into{length.data(), length.size()};
  std::optional<size_t> got;
  try {
    while (!(got = stream.read_some({&into, 1}))) {
      pollfd wanted{stream.descriptor(), POLLIN, 0};
      if (::poll(&wanted, 1, -1) < 0 && errno != EINTR) throw_errno("waiting for the peer");
    }
  } catch (const std::system_error& error) {
    // How a stream ends whose peer left something unread.
    if (error.code() == std::errc::connection_reset) return std::nullopt;
    throw;
  }
  if (*got == 0) return std::nullopt;
  const Deadline deadline = after(patience);
  stream.read_all(std::span(length).subspan(*got), deadline);
  std::vector<std::byte> text(decode_length(length, limit));
  stream.read_all(text, deadline);
  return text;
}

std::vector<std::byte> read_frame(Stream& stream, size_t limit, Deadline deadline) {
  std::array<std::byte, kLengthBytes> length;
  stream.read_all(length, deadline);
  std::vector<std::byte> text(decode_length(length, limit));
  stream.read_all(text, deadline);
  return text;
}

}  // namespace memsync::mmap_push::thesis
