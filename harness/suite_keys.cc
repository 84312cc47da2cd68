#include "harness/suite_keys.h"

#include <cassert>

namespace memsync {

namespace {

constexpr auto kRequired = KeySpec::Need::required;
constexpr auto kOptional = KeySpec::Need::optional;

constexpr KeySpec kSuiteKeys[] = {
    {"schema", ValueKind::count, "version of this grammar", "", kRequired, "1", "1"},
    {"suite", ValueKind::suite_name, "name of the suite, part of its results' directory", "",
     kRequired},
    {"question", ValueKind::text, "what the campaign is to answer, in a sentence"},
    {"hypothesis", ValueKind::text, "the answer that is expected, with figures"},
    {"seed", ValueKind::count, "of order, contents and accesses", "1"},
    {"reps", ValueKind::count, "repetitions per cell that count", "20", kOptional, "1", "10000"},
    {"warmup", ValueKind::count, "repetitions per cell before them; rows too, marked is_warmup",
     "1", kOptional, "0", "1000"},
    {"timeout", ValueKind::duration,
     "per repetition; a cell whose estimate is above it refuses the suite", "60s", kOptional, "1ms",
     "24h"},
    {"placement", ValueKind::map, "CPUs to pin to"},
    {"workloads", ValueKind::list, "what the applications do with the region", "", kRequired},
    {"links", ValueKind::list, "the networks between source and destination", "", kRequired},
    {"approaches", ValueKind::list, "what keeps the region in sync", "", kRequired},
    {"exclude", ValueKind::list, "cells to leave out; the report prints why"},
    {"demands", ValueKind::list, "what must hold between cells; demands.csv says whether it does"},
};

constexpr KeySpec kPlacementKeys[] = {
    {"source", ValueKind::cpu, "CPU of the source's agent", "any"},
    {"destination", ValueKind::cpu, "CPU of the destinations' agents", "any"},
    {"link", ValueKind::cpu, "CPU of a user-space link engine", "any"},
};

constexpr KeySpec kWorkloadKeys[] = {
    {"name", ValueKind::label, "label of the workload, unique", "", kRequired},
    {"does", ValueKind::choice,
     "read: a reader at the destination; update: the region changes, then sync(), `rounds` times; "
     "handover: a writer moves from source to destination while it writes",
     "", kRequired, "", "", "read|update|handover"},
    {"region", ValueKind::bytes,
     "its size, exact to the byte; default with `content: file:`: the file's", "", kOptional, "1B",
     "1048576TiB"},
    {"chunk", ValueKind::bytes,
     "the unit of moving: a power of two; the region's last one may be short", "4KiB", kOptional,
     "4KiB", "1GiB"},
    {"content", ValueKind::content,
     "random (seeded, incompressible), text (seeded), zero, or the first bytes of a file",
     "random"},
    {"access", ValueKind::access, "order of a reader's accesses", "sequential", kOptional, "", "",
     "", kRead},
    {"draws", ValueKind::choice,
     "same: each repetition makes the same accesses; fresh: random and zipf draw others each time, "
     "of the same distribution",
     "same", kOptional, "", "", "same|fresh", kRead},
    {"touch", ValueKind::bytes,
     "bytes per access of a reader or operation of a writer; default: 4KiB, or a smaller region "
     "whole",
     "", kOptional, "1B", "1048576TiB"},
    {"accesses", ValueKind::count,
     "how many; default: the whole region (the whole trace) once. Instead: `for`", "", kOptional,
     "1", "", "", kRead},
    {"threads", ValueKind::count,
     "threads that read at once, each its own part of the accesses: the first the first of them",
     "1", kOptional, "1", "256", "", kRead},
    {"source", ValueKind::choice,
     "where the source keeps the content: in memory, or nowhere: computed when it is read, so "
     "that a region may be larger than memory",
     "memory", kOptional, "", "", "memory|computed", kRead},
    {"for", ValueKind::duration, "how long the reader goes on, instead of `accesses`", "",
     kOptional, "1ms", "24h", "", kRead},
    {"dirty", ValueKind::ratio,
     "share of chunks that change per round, one random byte each; default: 1%, or a `writer`", "",
     kOptional, "0%", "100%", "", kUpdate},
    {"writer", ValueKind::map,
     "writes at a steady rate; a handover without one gets one with its defaults", "", kOptional,
     "", "", "", kUpdate | kHandover},
    {"changes", ValueKind::choice,
     "whose application changes the region; destination: it pulls the region whole first, and its "
     "sync() sends the changes to the source",
     "source", kOptional, "", "", "source|destination", kUpdate},
    {"rounds", ValueKind::count, "how often the region changes and sync() is called", "1",
     kOptional, "1", "1000000", "", kUpdate},
    {"receivers", ValueKind::count,
     "destinations that are kept in sync; where it is given, each looks every millisecond whether "
     "a "
     "round's changes are there (not beside a `writer`)",
     "1", kOptional, "1", "1000", "", kUpdate},
    {"after", ValueKind::duration,
     "how long the writer writes before the hand-over is asked for, or before each sync()", "1s",
     kOptional, "0ms", "24h", "", kUpdate | kHandover},
};

constexpr KeySpec kWriterKeys[] = {
    {"rate", ValueKind::byte_rate, "bytes written per second, on a fixed schedule", "20MiB/s",
     kOptional, "1B/s", "1024GiB/s"},
    {"span", ValueKind::bytes, "it writes within the first so many bytes; default: the region", "",
     kOptional, "1B", "1048576TiB"},
    {"access", ValueKind::access, "order of its operations within the span", "random"},
};

constexpr KeySpec kLinkKeys[] = {
    {"name", ValueKind::label, "label of the link, unique; default: the profile's"},
    {"use", ValueKind::choice, "a named profile; keys beside it override its values", "", kOptional,
     "", "", "local|lan|wan|nat|outage"},
    {"rate", ValueKind::bit_rate, "each way, or `unlimited`", "unlimited", kOptional, "1kbit/s",
     "10000Gbit/s"},
    {"rtt", ValueKind::duration, "round-trip time, half of it each way", "0ms", kOptional, "0ms",
     "1h"},
    {"loss", ValueKind::ratio, "share of packets lost, each way", "0", kOptional, "0", "99%"},
    {"jitter", ValueKind::duration, "added to each way's delay, up to this; never reorders", "0ms",
     kOptional, "0ms", "1h"},
    {"queue", ValueKind::queue,
     "bytes that wait for the rate, each way; auto: max(1.5 BDP, 256 KiB)", "auto", kOptional, "1B",
     "1TiB"},
    {"dials", ValueKind::choice,
     "who may begin a connection: any; destination: what the source begins is dropped, as behind a "
     "NAT",
     "any", kOptional, "", "", "any|destination"},
    {"cut_for", ValueKind::duration,
     "how long the link is dead, once in each repetition; 0ms: never", "0ms", kOptional, "0ms",
     "24h"},
    {"cut_after", ValueKind::duration, "when it is cut, counted from the call of open_destination",
     "1s", kOptional, "0ms", "24h"},
    {"engine", ValueKind::choice,
     "what makes the link; one for all links of a suite. auto: the best that can make them all",
     "auto", kOptional, "", "", "auto|tc|tun|none"},
    {"idle", ValueKind::choice,
     "what CPUs without work do: awake: they are kept from sleeping; sleep: as the machine likes",
     "awake", kOptional, "", "", "awake|sleep"},
};

constexpr KeySpec kApproachKeys[] = {
    {"use", ValueKind::approach,
     "name of the approach, as `memsync list` gives it; peer:NAME: the program of --peer "
     "NAME=EXECUTABLE",
     "", kRequired},
    {"as", ValueKind::label, "its label here, unique; default: `use`, of a peer its name"},
    {"with", ValueKind::options, "its options, as `memsync list` gives them"},
    {"cpu", ValueKind::cpu, "CPU to pin its destination to; any: as `placement` says", "any"},
};

constexpr KeySpec kExclusionKeys[] = {
    {"approach", ValueKind::labels,
     "a label (`as`), or a `use` name for all its series; several: a|b"},
    {"workload", ValueKind::labels, "a workload's name; several: a|b"},
    {"link", ValueKind::labels, "a link's name; several: a|b"},
    {"because", ValueKind::text, "the reason that the report prints", "", kRequired},
};

constexpr KeySpec kDemandKeys[] = {
    {"id", ValueKind::label, "label of the demand, unique", "", kRequired},
    {"what", ValueKind::text, "what is demanded, in a few words", "", kRequired},
    {"ours", ValueKind::map, "the cell and the column that it is demanded of", "", kRequired},
    {"against", ValueKind::map, "what it is compared with; what is not given is as in `ours`"},
    {"limit", ValueKind::formula,
     "instead of `against`: a number, a quantity or a formula of our row's own columns, like "
     "1.5 * rtt_p50_meas_s + 3ms"},
    {"required", ValueKind::bound, "what the ratio of ours to the other must fulfil: >= 0.6", "",
     kRequired},
    {"pairs", ValueKind::count, "rounds with both, below which nothing is said", "7", kOptional,
     "1", "10000"},
};

constexpr KeySpec kOursKeys[] = {
    {"series", ValueKind::label, "label of an approach", "", kRequired},
    {"workload", ValueKind::label, "a workload's name", "", kRequired},
    {"link", ValueKind::label, "a link's name", "", kRequired},
    {"column", ValueKind::column, "the measure: a column of runs.csv", "", kRequired},
};

constexpr KeySpec kAgainstKeys[] = {
    {"series", ValueKind::label, "label of an approach"},
    {"workload", ValueKind::label, "a workload's name"},
    {"link", ValueKind::label, "a link's name"},
    {"column", ValueKind::column, "a column of runs.csv of the same unit"},
};

constexpr KeyTable kTables[] = {
    {"", "A suite of memsync: what a campaign asks and runs.", kSuiteKeys},
    {"placement", "CPUs to pin to; `any`: not pinned, and recorded.", kPlacementKeys},
    {"workloads", "One application, or two, and their region.", kWorkloadKeys},
    {"writer", "An application that writes; its operations depend on the seed alone.", kWriterKeys},
    {"links", "A link between the hosts, the same in both directions.", kLinkKeys},
    {"approaches", "An approach with its options: one series of a figure.", kApproachKeys},
    {"exclude", "Cells that match all of approach, workload and link that are given.",
     kExclusionKeys},
    {"demands", "Ours against a limit or a peer, paired round by round.", kDemandKeys},
    {"ours", "One measure of one cell.", kOursKeys},
    {"against", "Another one.", kAgainstKeys},
};

}  // namespace

std::span<const KeyTable> key_tables() noexcept {
  return kTables;
}

const KeyTable& key_table(std::string_view name) noexcept {
  for (const KeyTable& table : kTables)
    if (table.name == name) return table;
  assert(false);  // callers name tables that are above
  return kTables[0];
}

}  // namespace memsync
