#include "harness/repetition.h"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

#include "approaches/peer.h"
#include "approaches/registry.h"
#include "harness/noise.h"
#include "harness/peer_repetition.h"
#include "harness/repetition_folders.h"
#include "harness/repetition_hosts.h"
#include "harness/repetition_limit.h"
#include "harness/repetition_parts.h"
#include "harness/repetition_update.h"
#include "harness/samples.h"

namespace memsync {

namespace {

using Json = nlohmann::json;

std::optional<double> median_of(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Adds what all of `parts` say to one: numbers are added, but a peak is the highest one's.
Json together(const std::vector<Json>& parts) {
  Json sum = parts.front();
  for (size_t i = 1; i < parts.size(); ++i)
    for (auto& [name, value] : sum.items()) {
      if (!parts[i].contains(name)) continue;
      const Json& other = parts[i][name];
      if (value.is_object())
        value = together({value, other});
      else if (name.starts_with("peak_"))
        value = std::max(value, other);
      else if (value.is_number_unsigned())
        value = value.get<uint64_t>() + other.get<uint64_t>();
      else if (value.is_number())
        value = value.get<double>() + other.get<double>();
    }
  return sum;
}

class Repetition {
 public:
  Repetition(const RepetitionSetup& setup, Expectations& expectations, InterruptWatch& interrupt,
             Row& row)
      : setup_(setup),
        expectations_(expectations),
        interrupt_(interrupt),
        row_(row),
        workload_(setup.suite.workloads[setup.cell.workload]),
        approach_(setup.suite.approaches[setup.cell.approach]) {}

  void run() {
    hosts_.emplace(setup_, interrupt_);
    try {
      work();
    } catch (...) {
      note_end();
      throw;
    }
    row_.set("integrity_ok", true);
    row_.set("status", "ok");
  }

 private:
  void work() {
    prepare();
    measure_external_rtt();
    call(source(), {{"do", "open"}});
    hosts_->begin_work();
    set_open(hosts_->call_destinations({{"do", "open"}}));
    switch (workload_.does) {
      case WorkloadKind::read:
        read();
        break;
      case WorkloadKind::update:
        update();
        break;
      case WorkloadKind::handover:
        hand_over();
        break;
    }
    end_outage();
    finish();
  }

  // Of several destinations, the last one's.
  void set_open(const std::vector<Json>& opened) {
    double longest_s = 0;
    for (const Json& answer : opened)
      longest_s = std::max(longest_s, answer.at("open_s").get<double>());
    row_.set("open_s", longest_s);
  }

  void end_outage() {
    const auto cut = hosts_->end_work();
    if (!cut) return;
    row_.set("cut_s", seconds(*cut));
    if (*cut == Nanoseconds::zero() && crosses_link())
      throw RepetitionFailure("invalid",
                              "the work was done before the link was cut: nothing was seen of an "
                              "outage; make the region larger or `cut_after` shorter");
  }

  // What is known of a repetition that is not ok: neither is a measure.
  void note_end() {
    if (const auto gave_up = hosts_->work_time()) row_.set("gave_up_s", seconds(*gave_up));
    if (const auto cut = hosts_->end_work()) row_.set("cut_s", seconds(*cut));
  }

  void prepare() {
    const Json addresses = hosts_->addresses();
    source().send(prepare_request(setup_, "source", addresses));
    for (size_t i = 0; i < hosts_->destinations(); ++i)
      hosts_->destination(i).send(
          prepare_request(setup_, "destination" + std::to_string(i), addresses));
    receive(source());
    hosts_->receive_destinations();
  }

  bool crosses_link() const {
    const SyncStrategy* strategy = find_strategy(approach_.use);
    return uses_link(*strategy, Options(strategy->info().options, approach_.with));
  }

  void read() {
    const Json result = call(destination(), {{"do", "read"}});
    const uint64_t accesses = result.at("accesses");
    expect_digest(result.at("digest"),
                  expectations_.read(setup_.cell.workload, accesses, setup_.draw),
                  "the bytes of " + std::to_string(accesses) + " accesses");
    const double elapsed = result.value("elapsed_s", 0.0);
    const uint64_t checked = result.at("checked_B");
    row_.set("accesses", accesses);
    row_.set("checked_B", checked);
    copy_member(result, "first_access_s", row_, "first_access_s");
    row_.set("throughput_Bps", static_cast<double>(checked) / elapsed);
    row_.set("duration_s", elapsed);
    set_latencies(result.at("latency"));
    if (workload_.access.order == AccessOrder::sequential && checked >= workload_.region_bytes)
      row_.set("full_s", elapsed);
    destination_spent_ = result.at("spent");
    destination_moved_ = result.at("moved");
  }

  // The measured work: neither the writer's time nor the checks belong to it.
  void update() {
    UpdateOutcome outcome = run_update(setup_, *hosts_, expectations_);
    std::vector<uint64_t> latencies_ns;  // a sync() may take minutes
    for (const double took_s : outcome.syncs_s)
      latencies_ns.push_back(static_cast<uint64_t>(took_s * 1e9));
    const double together = std::accumulate(outcome.syncs_s.begin(), outcome.syncs_s.end(), 0.0);
    row_.set("duration_s", together);
    row_.set("full_s", together);
    set_latencies(summarize_latencies(std::move(latencies_ns)));
    row_.set("checked_B", outcome.checked_bytes);
    row_.set("write_s", outcome.write_s);
    row_.set("lag_first_s", median_of(outcome.first_lags_s));
    row_.set("lag_all_s", median_of(outcome.all_lags_s));
    row_.set("accesses", workload_.rounds);
  }

  void hand_over() {
    call(source(), {{"do", "write_start"}});
    hosts_->pause(workload_.after);
    const Json moved = call(destination(), {{"do", "hand_over"}});
    const Json stopped = call(source(), {{"do", "write_stop"}});
    ApplicationLog log;
    log.operations = moved.at("operations");
    log.done_ns = moved.at("done_ns").get<std::vector<int64_t>>();
    log.read_hashes = moved.at("read_hashes").get<std::vector<uint64_t>>();
    log.folded_hash = moved.at("folded_hash");
    const ReplayVerdict verdict =
        expectations_.handover(setup_.cell.workload, stopped.at("operations"), log);
    if (!verdict.problem.empty()) throw RepetitionFailure("corrupt", verdict.problem);
    expect_digest(call(destination(), {{"do", "digest"}}).at("digest"), verdict.final_digest,
                  "the region after the hand-over");
    // Two machines have two clocks; their difference is not known, so there is no blackout to tell.
    const bool wrote = stopped.at("operations").get<uint64_t>() > 0;
    if (verdict.first_correct_ns && wrote && setup_.remote == nullptr)
      row_.set("blackout_s", static_cast<double>(*verdict.first_correct_ns -
                                                 stopped.at("last_done_ns").get<int64_t>()) *
                                 1e-9);
    for (const char* phase : {"suspend_s", "collect_s", "transfer_s", "resume_s", "settle_s"})
      copy_member(moved, phase, row_, phase);
    row_.set("accesses", log.operations);
    row_.set("checked_B", verdict.checked_bytes + workload_.region_bytes);
    row_.set("duration_s", moved.at("elapsed_s").get<double>());
    row_.set("full_s", moved.at("elapsed_s").get<double>());
    set_latencies(moved.at("latency"));
    destination_spent_ = moved.at("spent");
  }

  // The two ends end; what they moved and spent goes into the row.
  void finish() {
    const std::vector<Json> all = hosts_->call_destinations({{"do", "finish"}});
    const Json destination = together(all);
    const Json source = call(this->source(), {{"do", "finish"}});
    // Of a read, what had come by its last access: whoever reads ahead goes on after it.
    const Json& moved = destination_moved_.is_null() ? destination.at("moved") : destination_moved_;
    copy_member(moved, "payload_received", row_, "payload_B");
    copy_member(moved, "window_bytes", row_, "window_B");
    copy_member(moved, "faults", row_, "faults");
    copy_member(destination, "prefetched_at_open_B", row_, "prefetched_at_open_B");
    const Json& spent = destination_spent_.is_null() ? destination.at("spent") : destination_spent_;
    copy_member(spent, "cpu_s", row_, "cpu_dst_s");
    copy_member(spent, "minor_faults", row_, "minor_faults");
    copy_member(spent, "major_faults", row_, "major_faults");
    copy_member(spent, "ctx_switches", row_, "ctx_switches");
    copy_member(destination.at("spent"), "peak_rss_B", row_, "peak_rss_dst_B");
    copy_member(source.at("spent"), "cpu_s", row_, "cpu_src_s");
    copy_member(source.at("spent"), "peak_rss_B", row_, "peak_rss_src_B");
    if (hosts_->link() != nullptr) set_wire(source, all);
    set_limit(setup_, moved, row_);
    set_trace(moved);
  }

  void set_wire(const Json& source, const std::vector<Json>& destinations) {
    const WireCounters wire = hosts_->link()->counters();
    row_.set("wire_tx_B", wire.sent_bytes);
    row_.set("wire_rx_B", wire.received_bytes);
    row_.set("wire_pkts", wire.packets);
    if (setup_.engine == LinkEngine::tun)
      row_.set("cpu_link_s", seconds(hosts_->link()->engine_cpu()));
    if (const std::string checked = row_.get("checked_B"); !checked.empty())
      row_.set("amplification_ratio",
               static_cast<double>(wire.sent_bytes + wire.received_bytes) / std::stod(checked));
    set_hosts(wire, source, destinations);
  }

  // Each host by itself, in the link's order. The source's bytes are `wire`'s: a late
  // acknowledgement would make another reading differ.
  void set_hosts(const WireCounters& wire, const Json& source,
                 const std::vector<Json>& destinations) {
    std::string sent, received, cpu;
    const auto add = [](std::string& list, const std::string& host, const std::string& value) {
      list += (list.empty() ? "" : ";") + host + "=" + value;
    };
    const auto counts = hosts_->link()->host_counters();
    for (size_t i = 0; i < counts.size() && i <= destinations.size(); ++i) {
      const Json& ended = i == 0 ? source : destinations[i - 1];
      const auto [sent_bytes, received_bytes] =
          i == 0 ? std::pair(wire.sent_bytes, wire.received_bytes)
                 : std::pair(counts[i].sent_bytes, counts[i].received_bytes);
      add(sent, counts[i].name, std::to_string(sent_bytes));
      add(received, counts[i].name, std::to_string(received_bytes));
      add(cpu, counts[i].name, fmt::format("{:.6g}", ended.at("spent").value("cpu_s", 0.0)));
    }
    row_.set("wire_tx_by_host_B", sent);
    row_.set("wire_rx_by_host_B", received);
    row_.set("cpu_by_host_s", cpu);
  }

  // A series that replays accesses had nothing to replay: that is no repetition of it.
  void set_trace(const Json& moved) {
    if (!moved.contains("trace")) return;
    const std::string trace = moved["trace"];
    row_.set("trace", trace);
    if (trace == "recorded" && row_.get("is_warmup") != "1")
      throw RepetitionFailure("invalid",
                              "no trace was there to replay, so this repetition recorded one; let "
                              "a warm-up do that (warmup: 1)");
  }

  void set_latencies(const Json& latency) {
    copy_member(latency, "p50_s", row_, "latency_p50_s");
    copy_member(latency, "p99_s", row_, "latency_p99_s");
    copy_member(latency, "max_s", row_, "latency_max_s");
  }

  // On real machines nobody calibrates the link: what it does is measured beside the work.
  void measure_external_rtt() {
    if (setup_.remote == nullptr) return;
    call(source(), {{"do", "echo"}});
    source().send({{"do", "echo"}});
    const Json pinged = call(destination(), {{"do", "ping"}, {"host", "source"}, {"probes", 50}});
    receive(source());
    copy_member(pinged.at("rtt"), "p50_s", row_, "rtt_p50_meas_s");
    copy_member(pinged.at("rtt"), "p99_s", row_, "rtt_p99_meas_s");
  }

  Agent& source() { return hosts_->source(); }
  Agent& destination() { return hosts_->destination(); }
  Json call(Agent& agent, const Json& request) { return hosts_->call(agent, request); }
  Json receive(Agent& agent) { return hosts_->receive(agent); }

  const RepetitionSetup& setup_;
  Expectations& expectations_;
  InterruptWatch& interrupt_;
  Row& row_;
  const Workload& workload_;
  const ApproachSpec& approach_;
  Json destination_spent_;
  Json destination_moved_;  // until the last access: what came later was read ahead for nothing
  std::optional<RepetitionHosts> hosts_;
};

// Everything that was measured: gone from a row that is not ok.
void clear_measures(Row& row) {
  for (const char* column : {"duration_s",        "open_s",
                             "first_access_s",    "accesses",
                             "checked_B",         "throughput_Bps",
                             "latency_p50_s",     "latency_p99_s",
                             "latency_max_s",     "full_s",
                             "durable_s",         "prefetched_at_open_B",
                             "blackout_s",        "suspend_s",
                             "collect_s",         "transfer_s",
                             "resume_s",          "settle_s",
                             "payload_B",         "window_B",
                             "wire_tx_B",         "wire_rx_B",
                             "wire_pkts",         "amplification_ratio",
                             "limit_Bps",         "limit_by",
                             "efficiency_ratio",  "cpu_src_s",
                             "cpu_dst_s",         "cpu_link_s",
                             "peak_rss_src_B",    "peak_rss_dst_B",
                             "minor_faults",      "major_faults",
                             "ctx_switches",      "faults",
                             "write_s",           "overhead_s",
                             "lag_first_s",       "lag_all_s",
                             "wire_tx_by_host_B", "wire_rx_by_host_B",
                             "cpu_by_host_s"})
    row.clear(column);
}

}  // namespace

void run_repetition(const RepetitionSetup& setup, Expectations& expectations,
                    InterruptWatch& interrupt, Row& row) {
  const MachineReading machine = read_machine();
  const Deadline start = Clock::now();
  const size_t workload = setup.cell.workload;
  if (!setup.suite.workloads[workload].is_computed)
    row.set("content_hash", to_hex(expectations.content(workload)));
  // Worked out now, so that an approach that reads ahead doesn't go on while the answer waits for
  // it.
  if (const auto accesses = setup.suite.workloads[workload].access_count())
    expectations.read(workload, *accesses, setup.draw);
  try {
    if (setup.calibration != nullptr && !setup.calibration->ok())
      throw RepetitionFailure("invalid",
                              "the link is out of tolerance: " + setup.calibration->problem);
    if (is_peer(setup.suite.approaches[setup.cell.approach].use))
      run_peer(setup, expectations, interrupt, row);
    else
      Repetition(setup, expectations, interrupt, row).run();
  } catch (const RepetitionFailure& failure) {
    row.set("status", failure.status);
    row.set("status_detail", failure.what());
    if (failure.signal) row.set("signal", *failure.signal);
    if (failure.exit_code) row.set("exit_code", *failure.exit_code);
    if (failure.status == "corrupt") row.set("integrity_ok", false);
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& failure) {
    row.set("status", "failed");
    row.set("status_detail", failure.what());
  }
  const double elapsed = seconds(Clock::now() - start);
  if (row.get("status") != "ok")
    clear_measures(row);
  else
    row.set("overhead_s", elapsed - std::stod(row.get("duration_s")));
  set_noise(machine, read_machine(), setup.was_quiet,
            setup.remote == nullptr ? Hosts::here : Hosts::elsewhere, row);
  remove_empty_files(setup, row);
}

}  // namespace memsync
