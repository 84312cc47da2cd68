#include "approaches/userfaultfd/handoff.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <poll.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/unix_socket.h"

namespace memsync::userfaultfd {

namespace {

static_assert(std::endian::native == std::endian::little, "offers are copied as they stand");

constexpr uint64_t kOfferMagic = 0x0a4655434e59534dULL;    // "MSYNCUF\n"
constexpr uint64_t kVerdictMagic = 0x0a4b41434e59534dULL;  // "MSYNCAK\n"
constexpr uint16_t kVersion = 1;
constexpr uint16_t kFlagPoison = 1;
constexpr uint64_t kAddressEnd = 1ULL << 56;  // of user memory, on any machine there is

// Laid out as on the wire.
struct WireOffer {
  uint64_t magic = kOfferMagic;
  uint16_t version = kVersion;
  uint16_t flags = 0;
  uint32_t page_bytes = 0;
  uint64_t start = 0;
  uint64_t length = 0;
  uint64_t region_offset = 0;
  uint32_t pid = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(WireOffer) == kOfferBytes);

struct WireVerdict {
  uint64_t magic = kVerdictMagic;
  uint16_t version = kVersion;
  uint16_t verdict = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(WireVerdict) == kVerdictBytes);

template <typename Wire>
Wire from_bytes(std::span<const std::byte> bytes) {
  Wire wire;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  return wire;
}

bool is_aligned(uint64_t value) {
  return value % page_bytes() == 0;
}

Offer decode_ours(std::span<const std::byte> bytes) {
  const auto wire = from_bytes<WireOffer>(bytes);
  if (wire.magic != kOfferMagic) throw Refusal(Verdict::malformed);
  if (wire.version != kVersion) throw Refusal(Verdict::other_version);
  if ((wire.flags & ~kFlagPoison) != 0 || wire.reserved != 0 || wire.pid == 0)
    throw Refusal(Verdict::malformed);
  if (wire.page_bytes != page_bytes()) throw Refusal(Verdict::other_page_size);
  const bool sound = is_aligned(wire.start) && is_aligned(wire.region_offset) && wire.length > 0 &&
                     wire.start < kAddressEnd && wire.length <= kAddressEnd - wire.start &&
                     wire.region_offset < kAddressEnd;
  if (!sound) throw Refusal(Verdict::malformed);
  return {.start = wire.start,
          .length = wire.length,
          .region_offset = wire.region_offset,
          .page_bytes = wire.page_bytes,
          .pid = wire.pid,
          .has_poison = (wire.flags & kFlagPoison) != 0};
}

Offer decode_theirs(std::span<const std::byte> bytes) {
  uint64_t start = 0;
  for (const std::byte byte : bytes.first(8)) start = start << 8 | std::to_integer<uint64_t>(byte);
  if (!is_aligned(start) || start == 0 || start >= kAddressEnd) throw Refusal(Verdict::malformed);
  Offer offer;
  offer.start = start;
  return offer;
}

// A stranger is known by his first bytes; the rest need not be waited for.
void check_beginning(std::span<const std::byte> bytes, Dialect dialect) {
  if (dialect != Dialect::memsync || bytes.size() < sizeof kOfferMagic) return;
  uint64_t magic = 0;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  if (magic != kOfferMagic) throw Refusal(Verdict::malformed);
}

}  // namespace

std::string verdict_text(Verdict verdict) {
  switch (verdict) {
    case Verdict::served:
      return "faults are served";
    case Verdict::malformed:
      return "the offer is malformed";
    case Verdict::other_version:
      return "the offer is of another version of the protocol";
    case Verdict::other_page_size:
      return "the application has pages of another size";
    case Verdict::not_allowed:
      return "the application belongs to another user";
    case Verdict::wrong_process:
      return "the memory is not that of the process that connected";
    case Verdict::no_userfaultfd:
      return "the descriptor is no userfaultfd that can serve this memory";
    case Verdict::out_of_bounds:
      return "the memory begins or ends outside the region";
    case Verdict::no_source:
      return "the handler can't reach the region's bytes";
    case Verdict::too_many:
      return "the handler serves too many applications already";
  }
  return "an unknown reason (" + std::to_string(static_cast<unsigned>(verdict)) + ")";
}

size_t offer_bytes(Dialect dialect) noexcept {
  return dialect == Dialect::memsync ? kOfferBytes : kForeignOfferBytes;
}

std::vector<std::byte> encode_offer(const Offer& offer, Dialect dialect) {
  std::vector<std::byte> bytes(offer_bytes(dialect));
  if (dialect == Dialect::userfaultfd_go) {
    for (unsigned i = 0; i < 8; ++i)
      bytes[i] = static_cast<std::byte>(offer.start >> (56 - 8 * i) & 0xff);
    return bytes;
  }
  WireOffer wire;
  wire.flags = offer.has_poison ? kFlagPoison : 0;
  wire.page_bytes = offer.page_bytes;
  wire.start = offer.start;
  wire.length = offer.length;
  wire.region_offset = offer.region_offset;
  wire.pid = offer.pid;
  std::memcpy(bytes.data(), &wire, sizeof wire);
  return bytes;
}

Offer decode_offer(std::span<const std::byte> bytes, Dialect dialect) {
  if (bytes.size() != offer_bytes(dialect)) throw Refusal(Verdict::malformed);
  return dialect == Dialect::memsync ? decode_ours(bytes) : decode_theirs(bytes);
}

std::array<std::byte, kVerdictBytes> encode_verdict(Verdict verdict) {
  WireVerdict wire;
  wire.verdict = static_cast<uint16_t>(verdict);
  return std::bit_cast<std::array<std::byte, kVerdictBytes>>(wire);
}

Verdict decode_verdict(std::span<const std::byte, kVerdictBytes> bytes) {
  const auto wire = from_bytes<WireVerdict>(bytes);
  if (wire.magic != kVerdictMagic || wire.version != kVersion || wire.reserved != 0)
    throw_errno("the handler answers by another protocol", EPROTO);
  return static_cast<Verdict>(wire.verdict);
}

bool wait_readable(int socket, const FileDescriptor& ending, Deadline deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) throw_errno("waiting for the peer of a hand-off", ETIMEDOUT);
    std::array<pollfd, 2> waits{{{socket, POLLIN, 0}, {ending.get(), POLLIN, 0}}};
    // A minute at a time, so that a far deadline fits poll(2)'s int.
    const int ready =
        ::poll(waits.data(), waits.size(), static_cast<int>(std::min<int64_t>(left, 60'000)));
    if (ready < 0 && errno != EINTR) throw_errno("waiting for the peer of a hand-off");
    if (ready > 0) return waits[1].revents == 0;
  }
}

void send_offer(int socket, const Offer& offer, Dialect dialect, const FileDescriptor& userfault) {
  const auto bytes = encode_offer(offer, dialect);
  if (dialect == Dialect::memsync) {
    const std::array descriptors{userfault.get()};
    send_with_descriptors(socket, bytes, descriptors);
    return;
  }
  // Its receiver reads the start by itself and refuses one descriptor alone; the first of two is
  // not looked at, and must be nothing of value.
  const FileDescriptor nothing = FileDescriptor::event();
  const std::array descriptors{nothing.get(), userfault.get()};
  send_with_descriptors(socket, std::span(bytes).first(8), {});
  send_with_descriptors(socket, std::span(bytes).subspan(8), descriptors);
}

ReceivedOffer receive_offer(int socket, Dialect dialect, const FileDescriptor& ending,
                            Deadline deadline) {
  std::array<std::byte, kOfferBytes> bytes;
  const auto wanted = std::span(bytes).first(offer_bytes(dialect));
  std::vector<FileDescriptor> descriptors;
  for (size_t got = 0; got < wanted.size();) {
    if (!wait_readable(socket, ending, deadline))
      throw_errno("waiting for an application's offer", ECANCELED);
    const auto more = receive_with_descriptors(socket, wanted.subspan(got), descriptors);
    if (more == 0U) throw_errno("the application ended the connection", ECONNRESET);
    got += more.value_or(0);
    if (descriptors.size() > 2) throw Refusal(Verdict::malformed);
    check_beginning(wanted.first(got), dialect);
  }
  const Offer offer = decode_offer(wanted, dialect);
  if (descriptors.empty() || (dialect == Dialect::memsync && descriptors.size() != 1))
    throw Refusal(Verdict::no_userfaultfd);
  return {offer, std::move(descriptors.back())};
}

}  // namespace memsync::userfaultfd
