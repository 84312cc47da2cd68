#include "harness/repetition.h"

#include <memory>
#include <numeric>

#include "approaches/peer.h"
#include "approaches/registry.h"
#include "harness/environment.h"
#include "harness/noise.h"
#include "harness/peer_repetition.h"
#include "harness/repetition_folders.h"
#include "harness/repetition_parts.h"
#include "harness/samples.h"
#include "lib/os/mapping.h"

namespace memsync {

namespace {

// How long the other side may take to say what it saw when one agent has died.
constexpr auto kWitnessLimit = std::chrono::seconds(12);
constexpr double kImpossible = 1.02;  // of the limit

using Json = nlohmann::json;

class Repetition {
 public:
  Repetition(const RepetitionSetup& setup, Expectations& expectations, InterruptWatch& interrupt,
             Row& row)
      : setup_(setup),
        expectations_(expectations),
        interrupt_(interrupt),
        row_(row),
        workload_(setup.suite.workloads[setup.cell.workload]),
        approach_(setup.suite.approaches[setup.cell.approach]),
        deadline_(after(setup.suite.timeout)) {}

  void run() {
    make_hosts();
    prepare();
    measure_external_rtt();
    call(*source_, {{"do", "open"}});
    const Json opened = call(*destination_, {{"do", "open"}});
    copy_member(opened, "open_s", row_, "open_s");
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
    finish();
    row_.set("integrity_ok", true);
    row_.set("status", "ok");
  }

 private:
  void make_hosts() {
    const Placement placement = setup_.suite.placement_of(approach_);
    if (setup_.remote != nullptr) {
      source_ = Agent::dial("source", setup_.remote->source, setup_.remote->token);
      destination_ = Agent::dial("destination0", setup_.remote->destination, setup_.remote->token);
      same_version(*source_);
      same_version(*destination_);
      return;
    }
    link_ = make_link(link_setup(setup_.suite, setup_.cell.link, setup_.engine));
    const SyncStrategy* strategy = find_strategy(approach_.use);
    if (strategy->info().can.shares_memory)
      shared_memory_ = FileDescriptor::memory_file(
          "memsync-region", round_up_to_page(workload_.region_bytes) + page_bytes());
    const auto start = [&](const std::string& name, const NetworkNamespace& network,
                           std::optional<unsigned> cpu) {
      AgentStart agent = agent_start(setup_, name, network, cpu);
      if (shared_memory_.is_open()) agent.shared_memory = &shared_memory_;
      return Agent::start(agent);
    };
    source_ = start("source", link_->source(), placement.source);
    destination_ = start("destination0", link_->destination(), placement.destination);
  }

  void same_version(Agent& agent) {
    const std::string version = call(agent, {{"do", "hello"}}).value("version", "unknown");
    if (version != tool_version())
      throw RepetitionFailure("failed", "the " + agent.name() + "'s agent is memsync " + version +
                                            ", this is " + tool_version() +
                                            ": build the same on both machines");
  }

  void prepare() {
    source_->send(prepare_request(setup_, "source", addresses()));
    destination_->send(prepare_request(setup_, "destination", addresses()));
    receive(*source_);
    receive(*destination_);
  }

  Json addresses() const {
    if (setup_.remote == nullptr)
      return {{"source", link_->source_address()}, {"destination0", link_->destination_address()}};
    const auto host = [](const std::string& address) {
      return address.substr(0, address.rfind(':'));
    };
    return {{"source", host(setup_.remote->source)},
            {"destination0", host(setup_.remote->destination)}};
  }

  void read() {
    const Json result = call(*destination_, {{"do", "read"}});
    const uint64_t accesses = result.at("accesses");
    expect(result.at("digest"), expectations_.read(setup_.cell.workload, accesses, setup_.draw),
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

  void update() {
    if (workload_.writer)
      update_beside_writer();
    else
      update_in_rounds();
    row_.set("accesses", workload_.rounds);
  }

  // The measured work: neither the writer's time nor the checks belong to it.
  void set_syncs(const std::vector<double>& syncs_s) {
    std::vector<uint64_t> latencies_ns;  // a sync() may take minutes
    for (const double took_s : syncs_s) latencies_ns.push_back(static_cast<uint64_t>(took_s * 1e9));
    const double together = std::accumulate(syncs_s.begin(), syncs_s.end(), 0.0);
    row_.set("duration_s", together);
    row_.set("full_s", together);
    set_latencies(summarize_latencies(std::move(latencies_ns)));
  }

  void update_in_rounds() {
    Agent& writer = workload_.changes_at_destination ? *destination_ : *source_;
    Agent& reader = workload_.changes_at_destination ? *source_ : *destination_;
    // A first touch would be pulled within the change, whose time is to be that of noticing it.
    if (workload_.changes_at_destination)
      expect(call(*destination_, {{"do", "digest"}}).at("digest"),
             expectations_.content(setup_.cell.workload), "the region", "destination");
    std::vector<double> syncs_s;
    double write_s = 0;
    for (uint64_t round = 0; round < workload_.rounds; ++round) {
      const Json synced = call(writer, {{"do", "dirty_and_sync"}, {"round", round}});
      syncs_s.push_back(synced.at("sync_s"));
      write_s += synced.at("write_s").get<double>();
      expect(call(reader, {{"do", "digest"}}).at("digest"),
             expectations_.after_round(setup_.cell.workload, round),
             "the region after round " + std::to_string(round + 1),
             workload_.changes_at_destination ? "source" : "destination");
    }
    row_.set("checked_B", workload_.rounds * workload_.region_bytes);
    row_.set("write_s", write_s);
    set_syncs(syncs_s);
  }

  void update_beside_writer() {
    std::vector<double> syncs_s;
    call(*source_, {{"do", "write_start"}});
    for (uint64_t round = 0; round < workload_.rounds; ++round) {
      pause(workload_.after);
      syncs_s.push_back(call(*source_, {{"do", "sync"}}).at("sync_s"));
    }
    const Json stopped = call(*source_, {{"do", "write_stop"}});
    call(*source_, {{"do", "sync"}});
    expect(call(*destination_, {{"do", "digest"}}).at("digest"),
           expectations_.after_writer(setup_.cell.workload, stopped.at("operations")),
           "the region after the writer's last operation");
    row_.set("checked_B", workload_.region_bytes);
    set_syncs(syncs_s);
  }

  void hand_over() {
    call(*source_, {{"do", "write_start"}});
    pause(workload_.after);
    const Json moved = call(*destination_, {{"do", "hand_over"}});
    const Json stopped = call(*source_, {{"do", "write_stop"}});
    ApplicationLog log;
    log.operations = moved.at("operations");
    log.done_ns = moved.at("done_ns").get<std::vector<int64_t>>();
    log.read_hashes = moved.at("read_hashes").get<std::vector<uint64_t>>();
    log.folded_hash = moved.at("folded_hash");
    const ReplayVerdict verdict =
        expectations_.handover(setup_.cell.workload, stopped.at("operations"), log);
    if (!verdict.problem.empty()) throw RepetitionFailure("corrupt", verdict.problem);
    expect(call(*destination_, {{"do", "digest"}}).at("digest"), verdict.final_digest,
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
    const Json destination = call(*destination_, {{"do", "finish"}});
    const Json source = call(*source_, {{"do", "finish"}});
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
    if (link_) set_wire();
    set_limit(moved);
    set_trace(moved);
  }

  void set_wire() {
    const WireCounters wire = link_->counters();
    row_.set("wire_tx_B", wire.sent_bytes);
    row_.set("wire_rx_B", wire.received_bytes);
    row_.set("wire_pkts", wire.packets);
    if (setup_.engine == LinkEngine::tun) row_.set("cpu_link_s", seconds(link_->engine_cpu()));
    if (const std::string checked = row_.get("checked_B"); !checked.empty())
      row_.set("amplification_ratio",
               static_cast<double>(wire.sent_bytes + wire.received_bytes) / std::stod(checked));
  }

  // What no implementation can exceed, and the judgement that this one did not.
  void set_limit(const Json& moved) {
    const SyncStrategy* strategy = find_strategy(approach_.use);
    const Options options(strategy->info().options, approach_.with);
    if (workload_.does != WorkloadKind::read || !uses_link(*strategy, options)) return;
    double limit = setup_.copy_rate;
    double judged =
        limit;  // by the shortest round trip seen, not the median, so as never to be unjust
    std::string by = "copy";
    const auto lower = [&](double candidate, double judged_candidate, const char* name) {
      judged = std::min(judged, judged_candidate);
      if (candidate >= limit) return;
      limit = candidate;
      by = name;
    };
    if (setup_.calibration != nullptr) {
      const Calibration& link = *setup_.calibration;
      if (link.bits_per_second) lower(*link.bits_per_second / 8, *link.bits_per_second / 8, "rate");
      if (moved.contains("window_bytes") && link.rtt_p50_s > 0 && link.rtt_min_s > 0) {
        const double window = moved["window_bytes"];
        lower(window / link.rtt_p50_s, window / link.rtt_min_s, "window");
      }
    }
    row_.set("limit_Bps", limit);
    row_.set("limit_by", by);
    if (!moved.contains("payload_received") || !moved.contains("elapsed_s")) return;
    const double rate = moved["payload_received"].get<double>() / moved["elapsed_s"].get<double>();
    row_.set("efficiency_ratio", rate / limit);
    if (rate > kImpossible * judged)
      throw RepetitionFailure("invalid", "moved " + std::to_string(static_cast<uint64_t>(rate)) +
                                             " B/s where " + by + " allows " +
                                             std::to_string(static_cast<uint64_t>(judged)));
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
    call(*source_, {{"do", "echo"}});
    source_->send({{"do", "echo"}});
    const Json pinged = call(*destination_, {{"do", "ping"}, {"host", "source"}, {"probes", 50}});
    receive(*source_);
    copy_member(pinged.at("rtt"), "p50_s", row_, "rtt_p50_meas_s");
    copy_member(pinged.at("rtt"), "p99_s", row_, "rtt_p99_meas_s");
  }

  void expect(const Json& got, const Digest& wanted, const std::string& what,
              const std::string& where = "destination") {
    if (got == to_hex(wanted)) return;
    throw RepetitionFailure("corrupt", what + " at the " + where + ": digest " +
                                           got.get<std::string>() + " instead of " +
                                           to_hex(wanted));
  }

  // The workload's own time: the writer works while nobody talks.
  void pause(Nanoseconds duration) {
    const Deadline end = after(duration);
    while (Clock::now() < end) {
      interrupt_.check();
      if (link_) link_->check_alive();
      if (auto failure = source_->ended()) throw RepetitionFailure(*failure);
      if (Clock::now() >= deadline_)
        throw RepetitionFailure("timeout", "the time ended before the hand-over");
      sleep_until_deadline(std::min(end, after(std::chrono::milliseconds(20))));
    }
  }

  Json call(Agent& agent, const Json& request) {
    agent.send(request);
    return receive(agent);
  }

  // An answer, or the repetition's failure. When the one that is waited for fails because the other
  // died, both are named.
  Json receive(Agent& agent) {
    try {
      return wait_for(agent);
    } catch (RepetitionFailure& failure) {
      Agent& other = &agent == &*source_ ? *destination_ : *source_;
      if (auto death = other.ended()) {
        RepetitionFailure both("crashed", std::string(death->what()) + "; " + failure.what());
        both.exit_code = death->exit_code;
        both.signal = death->signal;
        throw RepetitionFailure(both);
      }
      throw;
    }
  }

  Json wait_for(Agent& agent) {
    Agent& other = &agent == &*source_ ? *destination_ : *source_;
    std::optional<Deadline> witness_deadline;
    while (true) {
      const Deadline look = std::min({deadline_, witness_deadline.value_or(Deadline::max()),
                                      after(std::chrono::milliseconds(250))});
      try {
        return agent.receive(look, interrupt_);
      } catch (const RepetitionFailure& failure) {
        if (failure.status != "timeout" || Clock::now() >= deadline_) throw;
        if (witness_deadline && Clock::now() >= *witness_deadline) throw;
      }
      if (link_) link_->check_alive();
      if (!witness_deadline && other.ended()) witness_deadline = after(kWitnessLimit);
    }
  }

  const RepetitionSetup& setup_;
  Expectations& expectations_;
  InterruptWatch& interrupt_;
  Row& row_;
  const Workload& workload_;
  const ApproachSpec& approach_;
  const Deadline deadline_;
  Json destination_spent_;
  Json destination_moved_;  // until the last access: what came later was read ahead for nothing
  FileDescriptor shared_memory_;
  std::unique_ptr<Link> link_;
  std::optional<Agent> source_;  // after link_: the agents end before their namespaces go
  std::optional<Agent> destination_;
};

// Everything that was measured: gone from a row that is not ok.
void clear_measures(Row& row) {
  for (const char* column :
       {"duration_s",    "open_s",         "first_access_s",   "accesses",
        "checked_B",     "throughput_Bps", "latency_p50_s",    "latency_p99_s",
        "latency_max_s", "full_s",         "durable_s",        "prefetched_at_open_B",
        "blackout_s",    "suspend_s",      "collect_s",        "transfer_s",
        "resume_s",      "settle_s",       "payload_B",        "window_B",
        "wire_tx_B",     "wire_rx_B",      "wire_pkts",        "amplification_ratio",
        "limit_Bps",     "limit_by",       "efficiency_ratio", "cpu_src_s",
        "cpu_dst_s",     "cpu_link_s",     "peak_rss_src_B",   "peak_rss_dst_B",
        "minor_faults",  "major_faults",   "ctx_switches",     "faults",
        "write_s",       "overhead_s"})
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
