// What the harness drives: an approach, its two sides, and the hand-over between them.
//
//   source process                                   destination process
//   open_source() -> Side ──────── Network ───────── open_destination() -> Side
//        │ service() answers                              │ region(): the app's view
//        │ suspend_app() when asked                       │ handover()->finalize(), settle()
//
// A session keeps one region of bytes in sync between a source host, which starts with the
// authoritative bytes, and one or more destination hosts, which want them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "approaches/options.h"
#include "lib/backend/backend.h"
#include "lib/os/clock.h"
#include "lib/region/geometry.h"
#include "lib/transport/network.h"
#include "lib/transport/transport.h"

namespace memsync {

// How the application sees the bytes: `memory` is empty for a path-only attachment, `path` is
// empty for anonymous memory.
struct RegionView {
  std::span<std::byte> memory;  // size_bytes long when present
  std::string path;             // file or block device, openable O_RDWR
};

// Who may touch the region's bytes, and when. `blocked` accesses wait (they do not fail) until the
// hand-over.
enum class Access : uint8_t { none, blocked, read, read_write };
std::string_view access_name(Access access) noexcept;

struct Capabilities {
  Access source_before = Access::none;       // source app, until finalize()
  Access destination_before = Access::none;  // destination app, until finalize()
  Access destination_after = Access::none;   // none: this approach has no hand-over
  bool writes_reach_peer = false;            // sync() makes the writer's bytes visible to the peer
  bool tracks_writes = false;                // dirty chunks known without comparing contents
  bool readable_before_complete = false;     // useful while chunks are still remote
  uint32_t destinations_max = 1;             // how many receivers it serves
  bool source_dials = false;  // the source connects to the destination too: not through a NAT
  bool shares_memory =
      false;  // both sides are given one memory file as their store: no transfer at all
};

struct StrategyInfo {
  std::string_view name;  // as typed: "userfaultfd"; no word that YAML or pandas reads as nothing
  std::string_view summary;    // one line for `memsync list`
  std::string_view reference;  // thesis section or paper it implements
  Capabilities can;
  std::span<const OptionSpec> options = {};
  std::string_view attachment = {};  // column of that name: how bytes appear in memory
  std::string_view transport = {};   // column of that name: what carries them; "" without a link
  // The same payload_B for the same work, so that a difference of one byte is a finding. False
  // where answers race.
  bool payload_is_exact = false;
};

struct SyncReport {
  uint64_t chunks_examined = 0;
  uint64_t chunks_moved = 0;
  uint64_t payload_bytes = 0;  // without framing
  Nanoseconds elapsed{};
};

// The moments of a hand-over, all on the clock of the side that calls finalize(); phases are
// contiguous, so their sum is the downtime.
struct HandoverReport {
  Nanoseconds suspend{};       // asked the source app to stop -> it has stopped
  Nanoseconds collect{};       // -> the missing chunks are known
  Nanoseconds transfer{};      // -> every chunk that must move while nobody runs has moved
  Nanoseconds resume{};        // -> the destination app's first access may return
  uint64_t payload_bytes = 0;  // moved meanwhile
  Nanoseconds downtime() const { return suspend + collect + transfer + resume; }
};

// Makes a destination the owner of the region. Threads: one caller.
class Handover {
 public:
  virtual ~Handover() = default;
  // Suspends the source app, moves what must move, resumes the destination app. If it throws, the
  // destination never ran, the source app has been resumed and still owns.
  virtual HandoverReport finalize(Deadline deadline) = 0;
  // Brings what is still at the source and releases it. Never resumes the source: from finalize()
  // on, this side is the owner, whatever fails here. Returns its duration.
  virtual Nanoseconds settle(Deadline deadline) = 0;
};

// What became of an order of first touches that is kept from run to run.
enum class TraceUse : uint8_t { recorded, replayed };

// Counters since open; monotone. A field that an approach has no meaning for stays nullopt and
// becomes an empty cell, never a zero.
struct Statistics {
  std::optional<uint64_t> payload_received, payload_sent;  // bytes
  std::optional<uint64_t> faults;             // page faults or FUSE/NBD/ublk requests served
  std::optional<uint64_t> chunks_prefetched;  // by a background puller, before first access
  std::optional<uint64_t> chunks_local;       // present on this side now
  std::optional<uint64_t> hash_rounds;        // comparison passes over the region
  std::optional<uint64_t> window_bytes;       // most it ever keeps in flight
  std::optional<TraceUse> trace;              // recorded: there was none to replay
};

// One process's end of a session. Destroying it stops its workers, detaches the region and
// releases devices; it never throws. What a side cannot do has no object to call it on.
// Threads: region(), statistics(), rethrow_failure() from any; sync() and handover() from one.
class Side {
 public:
  virtual ~Side() = default;
  virtual RegionView region() = 0;
  // On return, everything this side's app wrote before the call is visible to reads the peer starts
  // after it. nullopt: this side's writes never reach the peer.
  virtual std::optional<SyncReport> sync(Deadline deadline) = 0;
  virtual Handover* handover() noexcept { return nullptr; }
  // What this side answers to others; after a hand-over the new owner has one, so that the region
  // can move on.
  virtual RegionService* service() noexcept { return nullptr; }
  virtual Statistics statistics() const = 0;
  // A worker that failed (lost peer, full store) parks its exception here, and the app's blocked
  // accesses are released with SIGBUS or EIO.
  virtual void rethrow_failure() const = 0;
};

struct SideSetup {
  Geometry geometry;
  RegionId region;
  const Options* options = nullptr;      // outlives the side
  std::unique_ptr<Backend> store;        // source: the bytes; destination: where they land
  Network* network = nullptr;            // outlives the side
  const Transport* transport = nullptr;  // for approaches that ask by RegionService
  // Where both sides share memory (can.shares_memory): one page beside the region's, zeroed before
  // either side opens, the same memory in both; outlives the sides. Empty otherwise.
  std::span<std::byte> shared_control{};
  // Destination: the region's first bytes from this host alone, for approaches that can do without
  // their peer (kBackendOption); called once. Empty otherwise.
  std::function<std::unique_ptr<Reader>()> open_copy{};
  // A directory of this cell's and role's own that lives as long as the campaign; empty: none.
  std::string keep_dir{};
  uint32_t destinations = 1;          // how many there are
  uint32_t destination_index = 0;     // which of them this is
  std::function<void()> suspend_app;  // returns once this side's app has stopped writing
  std::function<void()> resume_app;   // destination: hand-over done; source: hand-over failed
  std::stop_token stop;               // ends blocking calls when the run is cancelled
  Nanoseconds connect_limit = std::chrono::seconds(10);  // for the connections of open_*()
};

// One approach. Implementations are stateless: every run's state is in a Side.
class SyncStrategy {
 public:
  virtual ~SyncStrategy() = default;
  virtual const StrategyInfo& info() const noexcept = 0;
  // What this machine lacks to run it with these options, one sentence each with the next step;
  // empty when it can.
  virtual std::vector<std::string> unmet_requirements(const Options& options) const = 0;
  // info().can, as these options change it, whether or not they have unmet requirements.
  virtual Capabilities capabilities(const Options&) const { return info().can; }
  virtual std::unique_ptr<Side> open_source(SideSetup setup) const = 0;
  virtual std::unique_ptr<Side> open_destination(SideSetup setup) const = 0;
};

}  // namespace memsync
