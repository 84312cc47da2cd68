// What one side of a session answers to another: asynchronous, in batches, with urgency.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "lib/os/clock.h"
#include "lib/region/geometry.h"

namespace memsync {

// Whether somebody is waiting for the bytes. A transport serves demand first and keeps no more
// than one bandwidth-delay product of background in flight.
enum class Urgency : uint8_t { demand, background };

struct ReadRequest {
  uint64_t offset = 0;
  std::span<std::byte> into;  // stays valid until its completion
  uint64_t tag = 0;           // the caller's name for it
};

struct WriteRequest {
  uint64_t offset = 0;
  std::span<const std::byte> from;  // stays valid until its completion
  uint64_t tag = 0;
};

struct Completion {
  uint64_t tag = 0;
  std::error_code error;         // none: done
  std::vector<std::byte> reply;  // of exchanges only
};

class CompletionSink {
 public:
  virtual ~CompletionSink() = default;
  // Called on a thread of the service, with as many completions as are there; one call at a time
  // per service. May start new requests; must not destroy the service.
  virtual void completed(std::span<Completion> done) noexcept = 0;
};

// What suspending found. Durations may cross hosts, time stamps may not: the asker subtracts
// `suspending` from the whole call to get `collect`.
struct Suspension {
  std::vector<ChunkIndex> dirty_chunks;  // ascending; written since start_tracking()
  std::vector<std::byte> wanted;         // the bytes of the ranges that were asked for with it
  Nanoseconds suspending{};              // asked the app to stop -> it had stopped
};

// Errors that have a meaning of their own between hosts; the rest travels as errno values.
enum class RegionError : uint16_t {
  stale_epoch = 1,  // the request names an ownership that has passed on
  out_of_bounds,    // reaches past the region's end
  too_large,        // longer than the peer takes in one request
  unknown_topic,    // an exchange that this side doesn't understand
  refused,          // the hello did not match, or the operation is not offered
  malformed,        // bytes that are no message of the protocol
};
const std::error_category& region_error_category() noexcept;
std::error_code make_error_code(RegionError error) noexcept;

// One window of requests on one connection replaces worker threads. Every start_* completes
// exactly once; destroying the service completes what is open with ECANCELED; a deadline that
// passes completes with ETIMEDOUT; a lost peer with ECONNRESET or ETIMEDOUT.
// Threads: every member from any thread. A completion may come before its start_* returns.
class RegionService {
 public:
  virtual ~RegionService() = default;
  virtual void start_reads(std::span<const ReadRequest> requests, Urgency urgency,
                           Deadline deadline, CompletionSink& sink) = 0;
  virtual void start_writes(std::span<const WriteRequest> requests, Urgency urgency,
                            Deadline deadline, CompletionSink& sink) = 0;
  // What only one approach understands (chunk hashes, say), so that a new approach never touches
  // a transport.
  virtual void start_exchange(std::string_view topic, std::span<const std::byte> request,
                              uint64_t tag, Urgency urgency, Deadline deadline,
                              CompletionSink& sink) = 0;

  // Ownership. Each call is idempotent per epoch: a lost reply may be asked for again. They block
  // until the deadline at most and throw std::system_error.
  virtual void start_tracking(uint64_t epoch, Deadline deadline) = 0;
  // Stops the app and fences the region: from here on only requests of epoch + 1 are answered.
  virtual Suspension suspend_and_collect(uint64_t epoch, std::span<const ByteRange> wanted,
                                         Deadline deadline) = 0;
  // The hand-over failed before the new owner ran: the app goes on, `epoch` counts again.
  virtual void resume(uint64_t epoch, Deadline deadline) = 0;
  // The new owner needs nothing more.
  virtual void release(uint64_t epoch, Deadline deadline) = 0;

  // The epoch whose requests are answered now.
  virtual uint64_t epoch() const noexcept = 0;
  // For a server in the same process: the bytes of `range` where they stand in memory that stays
  // valid and readable as long as the service lives; empty when they must be read. A hot path that
  // saves a copy; start_reads() answers the same bytes.
  virtual std::span<const std::byte> borrow(ByteRange range) noexcept {
    static_cast<void>(range);
    return {};
  }
};

}  // namespace memsync

template <>
struct std::is_error_code_enum<memsync::RegionError> : std::true_type {};
