#include "approaches/mmap_push/wire.h"

#include <algorithm>
#include <cstring>

#include "approaches/mmap_push/version_file.h"
#include "lib/transport/region_service.h"

namespace memsync::mmap_push {

namespace {

// Not inlined: g++ 12 sees overflows in a vector that grows by a constant (GCC bug 105762).
[[gnu::noinline]] void put_bytes(std::vector<std::byte>& into, std::span<const std::byte> bytes) {
  const size_t start = into.size();
  into.resize(start + bytes.size());
  if (!bytes.empty()) std::memcpy(into.data() + start, bytes.data(), bytes.size());
}

template <typename Value>
void put(std::vector<std::byte>& into, const Value& value) {
  static_assert(std::is_trivially_copyable_v<Value>);
  put_bytes(into, std::as_bytes(std::span(&value, 1)));
}

// Takes a payload apart; what is missing or left over is malformed.
class Cursor {
 public:
  Cursor(std::span<const std::byte> payload, const char* message)
      : left_(payload), message_(message) {}
  template <typename Value>
  Value take() {
    static_assert(std::is_trivially_copyable_v<Value>);
    Value value;
    std::memcpy(&value, take_bytes(sizeof value).data(), sizeof value);
    return value;
  }
  std::span<const std::byte> take_bytes(size_t count) {
    if (count > left_.size()) throw_malformed(std::string(message_) + " is too short");
    const auto taken = left_.first(count);
    left_ = left_.subspan(count);
    return taken;
  }
  std::span<const std::byte> rest() { return take_bytes(left_.size()); }
  bool is_empty() const noexcept { return left_.empty(); }
  void finish() const {
    if (!left_.empty()) throw_malformed(std::string(message_) + " is too long");
  }

 private:
  std::span<const std::byte> left_;
  const char* message_;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t checked_size(uint64_t size_bytes) {  // before a block size is known
  if (size_bytes > kSizeMax) throw_malformed("a file of " + std::to_string(size_bytes) + " bytes");
  return size_bytes;
}

}  // namespace

void throw_malformed(const std::string& what) {
  throw std::system_error(make_error_code(RegionError::malformed), "the push protocol: " + what);
}

void check_header(const FrameHeader& header, Role sender) {
  const auto kind = static_cast<uint8_t>(header.kind);
  const bool of_the_source = kind >= 1 && kind <= 14, of_the_receiver = kind >= 32 && kind <= 35;
  const bool known =
      header.kind == Kind::failed || (sender == Role::source ? of_the_source : of_the_receiver);
  if (!known)
    throw_malformed("a message of kind " + std::to_string(kind) + " from the " +
                    (sender == Role::source ? "source" : "receiver"));
  const uint8_t flags = header.kind == Kind::end     ? kFlagPublish | kFlagFinal
                        : header.kind == Kind::offer ? kFlagAnew
                        : header.kind == Kind::terms ? kFlagStatic
                                                     : 0;
  const bool is_hidden_end =  // what is handed over is published
      header.kind == Kind::end && header.flags == kFlagFinal;
  if ((header.flags & ~flags) != 0 || is_hidden_end || header.reserved != 0)
    throw_malformed("unknown flags in a message of kind " + std::to_string(kind));
  if (header.payload_bytes > kPayloadMax)
    throw_malformed("a message of " + std::to_string(header.payload_bytes) + " bytes, at most " +
                    std::to_string(kPayloadMax) + " are allowed");
  if (header.file >= kFilesMax) throw_malformed("file number " + std::to_string(header.file));
}

void check_size(uint64_t size_bytes, uint64_t block_bytes) {
  if (size_bytes / block_bytes >= kBlocksMax)
    throw_malformed("a file of " + std::to_string(size_bytes) + " bytes in blocks of " +
                    std::to_string(block_bytes) + ", of which " + std::to_string(kBlocksMax) +
                    " are allowed; choose larger blocks");
}

std::string hello_problem(const Hello& theirs, Role expected) {
  if (theirs.magic != Hello::kMagic) return "the peer does not speak the push protocol";
  if (theirs.version != kVersion)
    return "the peer speaks version " + std::to_string(theirs.version) +
           " of the push protocol, this program version " + std::to_string(kVersion);
  if (theirs.role != expected)
    return std::string("both ends are ") + (expected == Role::source ? "receivers" : "sources") +
           "; one has to push and the other to receive";
  if (theirs.hello_bytes != sizeof(Hello)) return "the peer's greeting has another length";
  return "";
}

std::vector<std::byte> encode(const Offer& offer) {
  std::vector<std::byte> bytes;
  put(bytes, offer.size_bytes);
  put(bytes, offer.block_bytes);
  put_bytes(bytes, std::as_bytes(std::span(offer.name)));
  return bytes;
}

Offer decode_offer(std::span<const std::byte> payload) {
  Cursor cursor(payload, "an offer");
  Offer offer;
  offer.size_bytes = checked_size(cursor.take<uint64_t>());
  offer.block_bytes = cursor.take<uint32_t>();
  if (!std::has_single_bit(offer.block_bytes) || offer.block_bytes < 4096 ||
      offer.block_bytes > kBlockBytesMax)
    throw_malformed("blocks of " + std::to_string(offer.block_bytes) + " bytes");
  check_size(offer.size_bytes, offer.block_bytes);
  const auto name = cursor.rest();
  if (name.size() > kNameMax)
    throw_malformed("a name of " + std::to_string(name.size()) + " bytes");
  offer.name = text_of(name);
  return offer;
}

std::vector<std::byte> encode(const Have& have) {
  std::vector<std::byte> bytes;
  put(bytes, have.size_bytes);
  put(bytes, have.table);
  put(bytes, have.seed);
  return bytes;
}

Have decode_have(std::span<const std::byte> payload) {
  Cursor cursor(payload, "what the receiver has");
  Have have{.size_bytes = checked_size(cursor.take<uint64_t>()),
            .table = cursor.take<Digest>(),
            .seed = cursor.take<uint64_t>()};
  cursor.finish();
  return have;
}

std::vector<std::byte> encode(const Begin& begin) {
  std::vector<std::byte> bytes;
  put(bytes, begin.round);
  put(bytes, begin.size_bytes);
  return bytes;
}

Begin decode_begin(std::span<const std::byte> payload) {
  Cursor cursor(payload, "the beginning of a round");
  Begin begin{.round = cursor.take<uint64_t>(),
              .size_bytes = checked_size(cursor.take<uint64_t>())};
  cursor.finish();
  return begin;
}

std::vector<std::byte> encode(const End& end) {
  std::vector<std::byte> bytes;
  put(bytes, end.round);
  put(bytes, end.table);
  put(bytes, end.suspend.count());
  put(bytes, end.collect.count());
  return bytes;
}

End decode_end(std::span<const std::byte> payload) {
  Cursor cursor(payload, "the end of a round");
  End end{.round = cursor.take<uint64_t>(),
          .table = cursor.take<Digest>(),
          .suspend = Nanoseconds(cursor.take<int64_t>()),
          .collect = Nanoseconds(cursor.take<int64_t>())};
  cursor.finish();
  if (end.suspend.count() < 0 || end.collect.count() < 0) throw_malformed("a negative duration");
  return end;
}

std::vector<std::byte> encode(const Done& done) {
  std::vector<std::byte> bytes;
  put(bytes, done.round);
  put(bytes, done.table);
  return bytes;
}

Done decode_done(std::span<const std::byte> payload) {
  Cursor cursor(payload, "an acknowledgement");
  Done done{.round = cursor.take<uint64_t>(), .table = cursor.take<Digest>()};
  cursor.finish();
  return done;
}

std::vector<std::byte> encode(const Table& table) {
  std::vector<std::byte> bytes;
  put(bytes, table.first);
  put_bytes(bytes, std::as_bytes(std::span(table.digests)));
  return bytes;
}

Table decode_table(std::span<const std::byte> payload) {
  Cursor cursor(payload, "a table of digests");
  Table table{.first = cursor.take<uint64_t>(), .digests = {}};
  const auto digests = cursor.rest();
  if (digests.empty() || digests.size() % sizeof(Digest) != 0)
    throw_malformed("a table of digests has a broken length");
  table.digests.resize(digests.size() / sizeof(Digest));
  std::memcpy(table.digests.data(), digests.data(), digests.size());
  return table;
}

std::vector<std::byte> encode(const Terms& terms) {
  std::vector<std::byte> bytes;
  put(bytes, terms.seed);
  return bytes;
}

Terms decode_terms(std::span<const std::byte> payload) {
  Cursor cursor(payload, "a hub's terms");
  const Terms terms{.seed = cursor.take<uint64_t>()};
  cursor.finish();
  return terms;
}

std::vector<std::byte> encode(const Failure& failure) {
  std::vector<std::byte> bytes;
  put(bytes, static_cast<int32_t>(failure.error));
  const auto text = std::as_bytes(std::span(failure.text));
  put_bytes(bytes, text.first(std::min(text.size(), kErrorTextMax)));
  return bytes;
}

Failure decode_failure(std::span<const std::byte> payload) {
  Cursor cursor(payload, "a failure");
  Failure failure{.error = cursor.take<int32_t>(), .text = {}};
  const auto text = cursor.rest();
  failure.text = text_of(text.first(std::min(text.size(), kErrorTextMax)));
  // It ends on a person's terminal.
  for (char& letter : failure.text)
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f') letter = '?';
  return failure;
}

std::vector<std::byte> encode(const BlockRun& run) {
  std::vector<std::byte> bytes;
  put(bytes, run.first);
  put(bytes, run.count);
  return bytes;
}

BlockRun decode_run(std::span<const std::byte> payload, uint64_t block_count) {
  Cursor cursor(payload, "a run of zeros");
  const BlockRun run{.first = cursor.take<uint64_t>(), .count = cursor.take<uint64_t>()};
  cursor.finish();
  if (run.count == 0 || !lies_within(run.first, run.count, block_count))
    throw_malformed("zeros for " + std::to_string(run.count) + " blocks from " +
                    std::to_string(run.first) + " of " + std::to_string(block_count));
  return run;
}

std::optional<std::vector<std::byte>> encode_patch(std::span<const std::byte> before,
                                                   std::span<const std::byte> after) {
  constexpr size_t kGap = 8;  // an equal run as long as a piece's header starts another piece
  std::vector<std::byte> bytes;
  for (size_t at = 0; at < after.size();) {
    const auto differs = std::mismatch(after.begin() + static_cast<std::ptrdiff_t>(at), after.end(),
                                       before.begin() + static_cast<std::ptrdiff_t>(at));
    const auto start = static_cast<size_t>(differs.first - after.begin());
    if (start == after.size()) break;
    size_t end = start + 1;
    for (size_t equal = 0, next = end; next < after.size() && equal < kGap; ++next) {
      equal = after[next] == before[next] ? equal + 1 : 0;
      if (equal == 0) end = next + 1;
    }
    if (bytes.size() + 8 + (end - start) > after.size() / 2) return std::nullopt;
    put(bytes, static_cast<uint32_t>(start));
    put(bytes, static_cast<uint32_t>(end - start));
    put_bytes(bytes, after.subspan(start, end - start));
    at = end;
  }
  return bytes;
}

std::vector<PatchPiece> decode_patch(std::span<const std::byte> payload, uint64_t block_bytes) {
  Cursor cursor(payload, "a patch");
  std::vector<PatchPiece> pieces;
  uint64_t least = 0;
  while (!cursor.is_empty()) {
    const uint32_t offset = cursor.take<uint32_t>(), length = cursor.take<uint32_t>();
    if (length == 0 || offset < least || !lies_within(offset, length, block_bytes))
      throw_malformed("a patch of " + std::to_string(length) + " bytes at " +
                      std::to_string(offset) + " of a block of " + std::to_string(block_bytes));
    pieces.push_back({offset, cursor.take_bytes(length)});
    least = uint64_t{offset} + length;
  }
  if (pieces.empty()) throw_malformed("an empty patch");
  return pieces;
}

std::string name_problem(std::string_view name) {
  const auto refused = [&](const char* why) {
    return "the name '" + std::string(name.substr(0, 80)) + "' " + why;
  };
  if (name.empty()) return "a file without a name";
  if (name.size() > kNameMax) return refused("is too long");
  if (std::ranges::any_of(
          name, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }))
    return "a name with a control character";
  if (name.front() == '/') return refused("is absolute; names are below the receiver's folder");
  for (size_t start = 0; start <= name.size();) {
    const size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = name.substr(start, end - start);
    if (part.empty() || part == "." || part == "..")
      return refused("leaves the receiver's folder or has an empty part");
    if (part.size() > kPartMax) return refused("has a part that is too long");
    if (part.starts_with(kSparePrefix)) return refused("is one that receivers keep for themselves");
    start = end + 1;
  }
  return "";
}

}  // namespace memsync::mmap_push
