// The hand-off: what passes between an application and the process that answers its page faults.
//
//   application                                     handler
//   registers its memory
//   offer, with the userfaultfd ──────────────────▶ is it allowed, sound, can the bytes be had?
//   ◀────────────────────────────────── verdict     takes the faults from here on
//   holds the connection: when it ends before the memory does, the handler is gone
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/os/clock.h"
#include "lib/os/file_descriptor.h"

namespace memsync::userfaultfd {

// memsync: the layout below, little-endian, answered by a verdict. userfaultfd_go: as
// github.com/loopholelabs/userfaultfd-go, the start as 8 bytes big-endian, one more byte with the
// descriptors, no answer.
enum class Dialect : uint8_t { memsync, userfaultfd_go };

// Memory whose missing pages somebody else shall bring.
struct Offer {
  uint64_t start = 0;          // in the application's memory, page-aligned
  uint64_t length = 0;         // bytes; 0: the dialect does not say
  uint64_t region_offset = 0;  // where in the handler's region the memory begins, page-aligned
  uint32_t page_bytes = 0;     // 0: the dialect does not say
  uint32_t pid = 0;            // whose memory it is; 0: the dialect does not say
  bool has_poison = false;     // the descriptor was opened for UFFDIO_POISON
  friend bool operator==(const Offer&, const Offer&) = default;
};

enum class Verdict : uint16_t {
  served = 0,
  malformed = 1,
  other_version = 2,
  other_page_size = 3,
  not_allowed = 4,    // of another user
  wrong_process = 5,  // the memory is not that of the process that connected
  no_userfaultfd = 6,
  out_of_bounds = 7,
  no_source = 8,  // the handler can't reach the region's bytes
  too_many = 9,   // applications at once
};
// One clause for people; any number is answered.
std::string verdict_text(Verdict verdict);

// A hand-off that the handler does not accept.
struct Refusal : std::runtime_error {
  explicit Refusal(Verdict why) : std::runtime_error(verdict_text(why)), verdict(why) {}
  Verdict verdict;
};

inline constexpr size_t kOfferBytes = 48;        // of our dialect
inline constexpr size_t kForeignOfferBytes = 9;  // of the other
inline constexpr size_t kVerdictBytes = 16;

size_t offer_bytes(Dialect dialect) noexcept;
std::vector<std::byte> encode_offer(const Offer& offer, Dialect dialect);
// `bytes` is as much as offer_bytes() says. Throws Refusal; what comes out is sound: aligned, not
// empty unless the dialect has no length, and without overflow.
Offer decode_offer(std::span<const std::byte> bytes, Dialect dialect);
std::array<std::byte, kVerdictBytes> encode_verdict(Verdict verdict);
// Throws std::system_error when that is no verdict of the protocol.
Verdict decode_verdict(std::span<const std::byte, kVerdictBytes> bytes);

// Waits until `socket` can be read or has ended. False when `ending` became readable first; throws
// ETIMEDOUT at the deadline.
bool wait_readable(int socket, const FileDescriptor& ending, Deadline deadline);

// The application's half. Throws std::system_error.
void send_offer(int socket, const Offer& offer, Dialect dialect, const FileDescriptor& userfault);

struct ReceivedOffer {
  Offer offer;
  FileDescriptor userfault;  // or what the peer calls so
};
// The handler's half: waits for the whole offer. Throws Refusal, and std::system_error: ETIMEDOUT
// at the deadline, ECANCELED when `ending` becomes readable.
ReceivedOffer receive_offer(int socket, Dialect dialect, const FileDescriptor& ending,
                            Deadline deadline);

}  // namespace memsync::userfaultfd
