#include "harness/columns.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <vector>

namespace memsync {

namespace {

constexpr Column kColumns[] = {
    {"schema_version", "integer", "", "", "version of these columns"},
    {"campaign_id", "string", "", "", "name of the results directory when it was made"},
    {"run_id", "string", "", "", "unique within the campaign: its place in the campaign's order"},
    {"cell_id", "string", "", "", "series/workload/link"},
    {"suite", "string", "", "", "name of the suite"},
    {"block", "integer", "", "",
     "round in which every cell runs once, warm-ups included; 0 for rows that did not run"},
    {"order_in_block", "integer", "", "", "place in the round, seeded and random"},
    {"order_global", "integer", "", "", "place in the campaign"},
    {"rep", "integer", "", "",
     "repetition of the cell, warm-ups and measured counted apart, from 1; 0 for rows that did not "
     "run"},
    {"is_warmup", "boolean", "", "", "1: not for statistics"},
    {"seed", "integer", "", "", "seed of content, accesses and order"},
    {"approach", "string", "", "", "the approach (`use` in the suite)"},
    {"series", "string", "", "", "its label (`as` in the suite)"},
    {"attachment", "string", "", "", "how the bytes appear in the application's memory"},
    {"transport", "string", "", "", "what carries the requests; empty: nothing crosses the link"},
    {"backend", "string", "", "",
     "where the bytes come from: memory (the source's) or computed (by the source); of the "
     "destination's own process "
     "local-memory, local-file, local-pattern (computed when read)"},
    {"workload", "string", "", "", "name of the workload"},
    {"access_pattern", "string", "", "", "order of the accesses"},
    {"region_B", "integer", "B", "", "size of the region"},
    {"chunk_B", "integer", "B", "", "unit of the region's geometry"},
    {"content", "string", "", "", "what the region holds at the start"},
    {"content_hash", "string", "", "", "XXH3-128 of the region at the start"},
    {"cold", "boolean", "", "", "1: fresh processes, nothing of the region at the destination"},
    {"placement", "string", "", "",
     "CPUs of source, destination and link, `any` where not pinned; idle=sleep where CPUs without "
     "work may sleep"},
    {"receivers", "integer", "", "", "destinations"},
    {"dirty_ratio", "number", "ratio", "", "share of chunks changed per round (update)"},
    {"changed_at", "string", "", "",
     "whose application changes the region, source or destination (update)"},
    {"write_rate_Bps", "number", "B/s", "",
     "what the writer is asked to write (hand-over, update)"},
    {"options", "string", "", "", "the approach's options as given, k=v;k=v"},
    {"link", "string", "", "", "name of the link"},
    {"link_engine", "string", "", "", "tc, tun, none, or external (real machines); never pooled"},
    {"tcp_cc", "string", "", "", "TCP congestion control of the link's routes"},
    {"rate_cfg_Bps", "number", "B/s", "", "rate asked of the link; empty: unlimited"},
    {"rtt_cfg_s", "number", "s", "", "round-trip time asked of the link"},
    {"loss_cfg_ratio", "number", "ratio", "", "loss asked of the link, per packet and direction"},
    {"queue_cfg_B", "integer", "B", "", "queue of the link, per direction"},
    {"dials", "string", "", "",
     "who may begin a connection across the link: any, or the destination alone"},
    {"cut_after_cfg_s", "number", "s", "",
     "asked of the link: from the call of open_destination until it is cut; empty: it is not"},
    {"cut_cfg_s", "number", "s", "", "how long it is cut"},
    {"rate_meas_Bps", "number", "B/s", "", "rate measured by counted datagrams; empty: unlimited"},
    {"rtt_p50_meas_s", "number", "s", "", "median round trip of the idle link"},
    {"rtt_p99_meas_s", "number", "s", "", "its 99th percentile"},
    {"link_ok", "boolean", "", "",
     "1: within 3 % of the rate and max(0.2 ms, 2 %) of the round-trip time"},
    {"status", "string", "", "",
     "ok unsupported failed crashed timeout corrupt interrupted invalid"},
    {"status_detail", "string", "", "", "one sentence for every status but ok"},
    {"exit_code", "integer", "", "", "of the agent that ended wrongly"},
    {"signal", "integer", "", "", "that killed it"},
    {"gave_up_s", "number", "s", "",
     "of a repetition that is not ok: from the call of open_destination until that was known"},
    {"cut_s", "number", "s", "",
     "how long the link was cut during the measured work, whatever its status; empty: it is "
     "never cut"},
    {"log_path", "string", "", "", "what the agents said, within the results directory"},
    {"t_start_utc", "string", "", "", "when the repetition began"},
    {"duration_s", "number", "s", "lower",
     "from the call of open_destination to the end of the measured work; update: the sum of its "
     "sync() calls"},
    {"open_s", "number", "s", "lower", "the call of open_destination, connecting included"},
    {"first_access_s", "number", "s", "lower",
     "from the call of open_destination to the end of the first access"},
    {"accesses", "integer", "", "",
     "accesses done (read), operations at the destination (hand-over), rounds (update)"},
    {"checked_B", "integer", "B", "", "bytes compared with an independent reference"},
    {"write_s", "number", "s", "lower",
     "the changes between the sync() calls: what noticing a write costs is in it (update without "
     "a writer)"},
    {"lag_first_s", "number", "s", "lower",
     "from the last change of a round until the first destination has all of them, to a "
     "millisecond; median of the rounds (update whose suite gives `receivers`)"},
    {"lag_all_s", "number", "s", "lower", "likewise until the last destination has them"},
    {"throughput_Bps", "number", "B/s", "higher",
     "checked bytes by time from open to the last access (read)"},
    {"latency_p50_s", "number", "s", "lower",
     "median of an access (read), of an operation from its scheduled time (hand-over), of sync() "
     "(update)"},
    {"latency_p99_s", "number", "s", "lower",
     "99th percentile of the same; empty below 100 samples"},
    {"latency_max_s", "number", "s", "lower", "largest of the same"},
    {"full_s", "number", "s", "lower",
     "from open until every byte of the region was at the destination; empty if not all came. "
     "update: the sum of its sync() calls"},
    {"durable_s", "number", "s", "lower",
     "from open until the bytes were durable at the destination; empty: not promised"},
    {"prefetched_at_open_B", "integer", "B", "",
     "payload that had come when open_destination returned"},
    {"blackout_s", "number", "s", "lower",
     "last operation at the source before the suspend -> end of the first correct one at the "
     "destination, seen by the workload"},
    {"suspend_s", "number", "s", "lower",
     "asked the source's application to stop -> it had stopped"},
    {"collect_s", "number", "s", "lower", "-> the missing chunks are known"},
    {"transfer_s", "number", "s", "lower", "-> all that must move while nobody runs has moved"},
    {"resume_s", "number", "s", "lower", "-> the destination's first access may return"},
    {"settle_s", "number", "s", "lower", "from then until nothing is left at the source"},
    {"payload_B", "integer", "B", "lower",
     "region bytes that reached the destination's memory (several: all of them), framing not "
     "counted; of a read, until its "
     "last access (wire bytes go on to the end: what was read ahead for nothing is in them)"},
    {"window_B", "integer", "B", "", "most the approach keeps in flight"},
    {"wire_tx_B", "integer", "B", "lower",
     "IP bytes that the source sent, as packets of at most one MTU"},
    {"wire_rx_B", "integer", "B", "lower", "IP bytes that came to the source"},
    {"wire_tx_by_host_B", "string", "B", "",
     "IP bytes that each host sent: source=N;destination0=N..."},
    {"wire_rx_by_host_B", "string", "B", "", "IP bytes that each host received, likewise"},
    {"wire_pkts", "integer", "", "lower", "packets, both directions"},
    {"amplification_ratio", "number", "ratio", "lower",
     "wire bytes of both directions by checked bytes"},
    {"limit_Bps", "number", "B/s", "",
     "the least of measured rate, window by median round trip, copy rate; empty for update and "
     "hand-over, and where nothing crosses the link (floor, a backend of the destination's own)"},
    {"limit_by", "string", "", "", "which of them: rate, window, copy"},
    {"efficiency_ratio", "number", "ratio", "higher", "payload by the time it took, by limit"},
    {"cpu_src_s", "number", "s", "lower",
     "CPU of the source's process during the measured work, softirq work billed to it included"},
    {"cpu_dst_s", "number", "s", "lower",
     "CPU of the destination's process, likewise; of several, together"},
    {"cpu_by_host_s", "string", "s", "",
     "CPU of each host's process until it ended: source=N;destination0=N..."},
    {"cpu_link_s", "number", "s", "",
     "CPU of the link engine's process; empty where the kernel does it"},
    {"peak_rss_src_B", "integer", "B", "lower", "VmHWM of the source's process"},
    {"peak_rss_dst_B", "integer", "B", "lower",
     "VmHWM of the destination's process; of several, the highest"},
    {"minor_faults", "integer", "", "lower",
     "of the destination's process during the measured work"},
    {"major_faults", "integer", "", "lower", "likewise"},
    {"ctx_switches", "integer", "", "lower", "of the destination's process, voluntary and not"},
    {"integrity_ok", "boolean", "", "", "1: every checked byte was right"},
    {"psi_cpu_ratio", "number", "ratio", "",
     "share of the repetition in which some task waited for a CPU"},
    {"psi_mem_ratio", "number", "ratio", "", "share in which some task waited for memory"},
    {"steal_s", "number", "s", "", "CPU time that the hypervisor gave to others"},
    {"load1", "number", "", "", "load average before the repetition"},
    {"other_cpu_ratio", "number", "ratio", "",
     "share of the machine's CPU time that processes of others used during the repetition: neither "
     "idle, stolen or interrupts', nor memsync's (conductor, agents, link engine); correct to 10 "
     "ms of CPU time; empty over real machines"},
    {"noisy", "boolean", "", "",
     "1: steal_s above 2 % of the repetition's time, or other_cpu_ratio above 0.1 by more than 10 "
     "ms "
     "of CPU time, or others used the machine when the wait for a quiet one ended"},
    {"host_id", "string", "", "", "hash of the machine's id and name"},
    {"kernel", "string", "", "", "release of the running kernel"},
    {"git_sha", "string", "", "", "commit of the source tree"},
    {"git_dirty", "boolean", "", "", "1: tracked files were changed"},
    {"build_id", "string", "", "", "XXH3 of the program"},
    {"config_sha256", "string", "", "",
     "SHA-256 of the suite's text and of what the command line changed in it"},
    {"tool_version", "string", "", "", "version of memsync"},
    {"faults", "integer", "", "lower",
     "page faults or requests that the approach served at the destination"},
    {"trace", "string", "", "",
     "recorded: the approach noted the order of first touches for later repetitions of this cell; "
     "replayed: it followed one; empty: neither"},
    {"overhead_s", "number", "s", "",
     "what the repetition took beyond duration_s: processes, namespaces, content, checks"},
};

}  // namespace

std::span<const Column> columns() {
  return kColumns;
}

bool is_number(const Column& column) noexcept {
  return column.type == "number" || column.type == "integer";
}

nlohmann::json schema_json() {
  nlohmann::json list = nlohmann::json::array();
  for (const Column& column : kColumns)
    list.push_back({{"name", column.name},
                    {"type", column.type},
                    {"unit", column.unit},
                    {"direction", column.direction},
                    {"description", column.description}});
  return {{"schema_version", kSchemaVersion}, {"columns", list}};
}

void Row::set(std::string_view column, std::string value) {
  assert(std::any_of(std::begin(kColumns), std::end(kColumns),
                     [&](const Column& known) { return known.name == column; }));
  values_.insert_or_assign(std::string(column), std::move(value));
}

void Row::set(std::string_view column, double value) {
  if (!std::isfinite(value)) return;
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  set(column, std::string(text));
}

const std::string& Row::get(std::string_view column) const {
  static const std::string kEmpty;
  const auto found = values_.find(column);
  return found == values_.end() ? kEmpty : found->second;
}

std::string Row::csv() const {
  std::string line;
  for (const Column& column : kColumns) {
    if (&column != &kColumns[0]) line += ',';
    line += csv_field(get(column.name));
  }
  return line + "\n";
}

Row Row::from_csv(const std::map<std::string, std::string>& cells) {
  Row row;
  for (const Column& column : kColumns)
    if (const auto cell = cells.find(std::string(column.name));
        cell != cells.end() && !cell->second.empty())
      row.set(column.name, cell->second);
  return row;
}

std::string csv_header() {
  std::string line;
  for (const Column& column : kColumns) {
    if (&column != &kColumns[0]) line += ',';
    line += column.name;
  }
  return line + "\n";
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char letter : text) {
    if (letter == '"') quoted += '"';
    quoted += letter;
  }
  return quoted + "\"";
}

std::vector<std::vector<std::string>> parse_csv(std::string_view text) {
  std::vector<std::vector<std::string>> records;
  std::vector<std::string> record;
  std::string field;
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (quoted) {
      if (letter != '"') {
        field += letter;
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        field += '"';
        ++at;
      } else {
        quoted = false;
      }
    } else if (letter == '"') {
      quoted = true;
    } else if (letter == ',') {
      record.push_back(std::exchange(field, {}));
    } else if (letter == '\n') {
      record.push_back(std::exchange(field, {}));
      records.push_back(std::exchange(record, {}));
    } else if (letter != '\r') {
      field += letter;
    }
  }
  return records;
}

}  // namespace memsync
