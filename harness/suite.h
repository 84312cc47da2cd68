// A suite: what a campaign asks, as read from its YAML file and checked before anything runs.
//
// The grammar is in harness/suites/README.md; its keys, defaults and limits are the tables of
// harness/suite_keys.h, from which the parser, suite_json_schema() and the help are made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "approaches/sync_strategy.h"
#include "lib/os/clock.h"
#include "netem/link.h"

namespace memsync {

// Where in the suite's file something stands, counted from 1; 0: nowhere in particular.
struct SuitePosition {
  unsigned line = 0;
  unsigned column = 0;
};

// A suite that can't be run as it is written: "FILE:LINE:COLUMN: sentence".
class SuiteError : public std::runtime_error {
 public:
  explicit SuiteError(const std::string& sentence) : std::runtime_error(sentence) {}
  SuiteError(const std::string& file, SuitePosition at, const std::string& sentence);
};

enum class WorkloadKind : uint8_t { read, update, handover };
enum class AccessOrder : uint8_t { sequential, random, zipf, stride, trace };
std::string_view workload_kind_name(WorkloadKind kind) noexcept;

struct AccessSpec {
  AccessOrder order = AccessOrder::sequential;
  double theta = 0;                 // zipf
  uint64_t stride_bytes = 0;        // stride
  std::string trace_path{};         // trace: openable from anywhere
  std::vector<uint64_t> trace{};    // its byte offsets, each within the region
  std::string text = "sequential";  // as written
};

// A writer's operation `n` changes bytes at a place that depends on seed and n alone.
struct WriterSpec {
  uint64_t bytes_per_second = 0;
  uint64_t span_bytes = 0;      // it writes within the region's first so many bytes
  bool is_whole_region = true;  // no span was written: the region's size, whatever it becomes
  AccessSpec access{};
};

struct ContentSpec {
  enum class Kind : uint8_t { random, zero, text, file };
  Kind kind = Kind::random;
  std::string path{};           // file: openable from anywhere
  std::string text = "random";  // as written
};

struct Workload {
  std::string name{};
  WorkloadKind does = WorkloadKind::read;
  uint64_t region_bytes = 0;
  uint64_t chunk_bytes = 0;
  ContentSpec content{};
  AccessSpec access{};                        // read
  uint64_t touch_bytes = 0;                   // per access of a reader, per operation of a writer
  std::optional<uint64_t> accesses{};         // read; empty with `for_duration` too: access_count()
  std::optional<Nanoseconds> for_duration{};  // read
  bool is_drawn_afresh = false;               // read: other accesses in each repetition
  uint64_t threads = 1;                       // read: each has its own part of the accesses
  bool is_computed = false;                   // read: the source computes the content, stores none
  std::optional<double> dirty_ratio{};        // update: share of chunks per round; or else `writer`
  std::optional<WriterSpec> writer{};         // update, handover
  bool changes_at_destination = false;        // update without `writer`: the other way round
  uint64_t rounds = 1;                        // update
  uint64_t receivers = 1;                     // update
  bool is_watched = false;  // update: each destination says when a round's changes are there
  Nanoseconds after{};  // handover: start -> hand-over; update with a writer: start -> each sync()
  SuitePosition at{};

  // How many accesses a reader makes: as written, or the whole region (the whole trace) once;
  // nullopt when it reads for a time, or doesn't read.
  std::optional<uint64_t> access_count() const;
};

// The link is dead for a while, once, in each repetition.
struct CutSpec {
  Nanoseconds after{};  // from the call of open_destination()
  Nanoseconds length{};
};

struct LinkSpec {
  std::string name{};
  LinkShape shape{};
  Dials dials = Dials::any;
  std::optional<CutSpec> cut{};
  std::optional<LinkEngine> engine{};  // empty: auto
  IdleCpus idle = IdleCpus::awake;     // while the link is there
  SuitePosition at{};
};

struct ApproachSpec {
  std::string use{};
  std::string as{};  // its label, the column `series`
  std::map<std::string, std::string> with{};
  std::optional<unsigned> cpu{};  // of its destination; empty: the suite's placement
  // A series that add_controls() added is planned for these cells alone, {workload, link}; empty:
  // for all.
  std::vector<std::pair<size_t, size_t>> only{};
  SuitePosition at{};
};

// Leaves out the cells that match one of each kind of names; none are given: all match. An
// approach's name is its label or its `use` name.
struct Exclusion {
  std::vector<std::string> approaches{}, workloads{}, links{};
  std::string because{};
};

// One measure of one cell.
struct MeasuredCell {
  std::string series{}, workload{}, link{}, column{};
};

// What must hold of the ratio of ours to another cell's measure, or to a limit.
struct Demand {
  std::string id{}, what{};
  MeasuredCell ours{};
  std::optional<MeasuredCell> against{};  // whole: what was not written is as in `ours`
  std::string limit{};                    // or else a formula in SI units: checked_formula()
  std::string required{};                 // as written: ">= 0.6"
  std::string comparison{};               // its parts
  double bound = 0;
  uint64_t pairs = 0;  // below so many nothing is said
  SuitePosition at{};
};

// CPUs to pin to; empty: not pinned.
struct Placement {
  std::optional<unsigned> source{}, destination{}, link{};
};

struct Suite {
  std::string path{};
  std::string text{};  // the file, verbatim
  std::string name{}, question{}, hypothesis{};
  uint64_t seed = 1;
  unsigned reps = 20;
  unsigned warmup = 1;
  Nanoseconds timeout = std::chrono::seconds(60);
  Placement placement{};
  std::vector<Workload> workloads{};
  std::vector<LinkSpec> links{};
  std::vector<ApproachSpec> approaches{};
  std::vector<Exclusion> exclusions{};
  std::vector<Demand> demands{};

  Placement placement_of(const ApproachSpec& approach) const;
};

// The approaches a suite may name. Made from the registry, or by a test.
struct StrategyDirectory {
  std::function<const SyncStrategy*(std::string_view)> find;  // nullptr: none of that name
  std::vector<std::string> names{};
};
StrategyDirectory registered_strategies();

// Reads `text` as the suite in the file `path`, whose folder `file:` and `trace:` are relative to
// (a copy of a suite is read with the path of its original). Throws SuiteError for the first thing
// that is wrong.
Suite parse_suite(const std::string& text, const std::string& path, const StrategyDirectory& known);

// A path ends in .yaml or .yml or has a slash; anything else is the name of FOLDER/name.yaml in the
// first folder that has it. Throws SuiteError, with the closest name that there is.
Suite load_suite(const std::string& name_or_path, std::span<const std::string> folders,
                 const StrategyDirectory& known = registered_strategies());

// What `memsync list` says of a suite; `problem` when its file isn't readable as one.
struct SuiteSummary {
  std::string name{}, path{}, question{}, problem{};
};
std::vector<SuiteSummary> shipped_suites(const std::string& folder);  // by name; {} without folder

// Makes `path` the region of every workload, byte for byte, whatever its size; a touch or a
// writer's span that is larger than it is clipped. Throws SuiteError when it is missing,
// unreadable, empty or no regular file, or when a trace goes past its end.
void use_content_file(Suite& suite, const std::string& path);

// The links that have a name of their own.
struct LinkProfile {
  std::string_view name, rate, rtt, summary;
  std::string_view dials = "any";
  std::string_view cut_for = "0ms";  // never, else 1 s after the beginning
};
std::span<const LinkProfile> link_profiles() noexcept;

// The grammar as a JSON Schema (2020-12), made from the tables that the parser walks.
std::string suite_json_schema();

}  // namespace memsync
