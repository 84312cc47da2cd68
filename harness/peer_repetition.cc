#include "harness/peer_repetition.h"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <memory>
#include <poll.h>
#include <unistd.h>

#include "approaches/peer.h"
#include "harness/access_pattern.h"
#include "harness/exit_codes.h"
#include "harness/outage.h"
#include "harness/peer_process.h"
#include "harness/peer_report.h"
#include "harness/repetition_folders.h"
#include "harness/repetition_parts.h"
#include "harness/workload_wire.h"
#include "lib/os/mapping.h"

namespace memsync {

namespace {

using Json = nlohmann::json;

constexpr double kImpossible = 1.02;  // of the limit

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

// A memory file that any process of ours can open by path, and that is gone with the last of them.
std::string path_of(const FileDescriptor& file) {
  return fmt::format("/proc/{}/fd/{}", ::getpid(), file.get());
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const size_t start = text.find_last_of('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1, end - start);
}

class PeerRepetition {
 public:
  PeerRepetition(const RepetitionSetup& setup, Expectations& expectations,
                 InterruptWatch& interrupt, Row& row)
      : setup_(setup),
        expectations_(expectations),
        interrupt_(interrupt),
        row_(row),
        workload_(setup.suite.workloads[setup.cell.workload]),
        approach_(setup.suite.approaches[setup.cell.approach]),
        accesses_(workload_.access_count().value()),
        deadline_(after(setup.suite.timeout)) {}

  ~PeerRepetition() {
    for (const auto& [name, process] :
         {std::pair{"source", &source_part_}, std::pair{"destination0", &destination_part_}})
      if (*process && !(*process)->complaints().empty())
        std::ofstream(log_path(setup_, name), std::ios::app) << (*process)->complaints();
  }

  void run() {
    link_ = make_link(link_setup(setup_.suite, setup_.cell.link, setup_.engine));
    const Placement placement =
        setup_.suite.placement_of(setup_.suite.approaches[setup_.cell.approach]);
    source_ = Agent::start(agent_start(setup_, "source", link_->source(), placement.source));
    const Json addresses = {{"source", link_->source_address()},
                            {"destination0", link_->destination_address()}};
    ask_source(prepare_request(setup_, "source", addresses));
    ask_source({{"do", "open"}});
    write_files();
    source_part_.emplace(process_setup("source", link_->source(), placement.source));
    wait_until([&] { return source_part_->said_a_line() || source_part_->end(); });
    if (source_part_->end() && !source_part_->said_a_line()) check_end(*source_part_, "source");
    const Deadline start = Clock::now();
    const auto& cut = setup_.suite.links[setup_.cell.link].cut;
    if (cut) outage_.emplace(*link_, *cut);
    if (outage_) outage_->begin();
    destination_part_.emplace(
        process_setup("destination", link_->destination(), placement.destination));
    wait_until([&] { return destination_part_->end() || destination_part_->said_too_much(); });
    if (destination_part_->said_too_much())
      throw RepetitionFailure("failed", fmt::format("the peer wrote more than {} B on stdout",
                                                    PeerProcess::kOutputMax));
    check_end(*destination_part_, "destination");
    if (outage_) row_.set("cut_s", seconds(outage_->end()));
    judge(seconds(Clock::now() - start));
  }

 private:
  Json ask_source(const Json& request) { return source_->call(request, deadline_, interrupt_); }

  // What the bytes are and which of them are read, as files for whoever can't speak otherwise.
  void write_files() {
    content_ = FileDescriptor::memory_file("memsync-content", workload_.region_bytes);
    const Mapping mapping = Mapping::shared(content_, workload_.region_bytes);
    open_content(workload_, setup_.suite.seed)->read_at(mapping.bytes(), 0);
    const AccessPattern pattern(workload_.access, workload_.region_bytes, workload_.touch_bytes,
                                setup_.suite.seed, setup_.draw);
    std::string offsets;
    for (uint64_t i = 0; i < accesses_; ++i) offsets += fmt::format("{}\n", pattern.at(i).offset);
    trace_ = FileDescriptor::memory_file("memsync-trace", 0);
    write_all(trace_.get(), offsets.data(), offsets.size(), "writing the trace for a peer");
  }

  ProcessSetup process_setup(const char* role, const NetworkNamespace& network,
                             std::optional<unsigned> cpu) const {
    const Options options(peer_strategy().info().options, approach_.with);
    ProcessSetup process;
    process.arguments = {setup_.peers.at(std::string(peer_name(approach_.use)))};
    process.network = &network;
    process.cpu = cpu;
    const std::pair<const char*, std::string> variables[] = {
        {"ROLE", role},
        {"SOURCE", link_->source_address()},
        {"STREAM", fmt::format("{}:{}", link_->source_address(), tcp_port(kPeerStream))},
        {"FILE", path_of(content_)},
        {"TRACE", path_of(trace_)},
        {"REGION_B", std::to_string(workload_.region_bytes)},
        {"CHUNK_B", std::to_string(workload_.chunk_bytes)},
        {"UNIT_B", std::to_string(options.bytes("unit"))},
        {"TOUCH_B", std::to_string(workload_.touch_bytes)},
        {"ACCESSES", std::to_string(accesses_)},
        {"ACCESS", workload_.access.text},
        {"WORKLOAD", workload_.name},
        {"SEED", std::to_string(setup_.suite.seed)},
        {"TIMEOUT_S", fmt::format("{:.3f}", seconds(deadline_ - Clock::now()))}};
    for (const auto& [name, value] : variables)
      process.environment.push_back(fmt::format("MEMSYNC_{}={}", name, value));
    return process;
  }

  template <typename Done>
  void wait_until(Done done) {
    while (!done()) {
      interrupt_.check();
      link_->check_alive();
      if (outage_) outage_->act();
      if (auto failure = source_->ended()) throw RepetitionFailure(*failure);
      if (Clock::now() >= deadline_)
        throw RepetitionFailure("timeout", "the peer did not end in time");
      std::vector<pollfd> waits{{interrupt_.descriptor().get(), POLLIN, 0}};
      for (auto* process : {&source_part_, &destination_part_})
        if (*process) (*process)->add_waits(waits);
      const Deadline next = outage_ ? std::min(deadline_, outage_->next()) : deadline_;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
      ::poll(waits.data(), waits.size(),
             static_cast<int>(std::clamp<int64_t>(left.count(), 0, 250)));
      for (auto* process : {&source_part_, &destination_part_})
        if (*process) (*process)->listen();
    }
  }

  void check_end(PeerProcess& process, const std::string& role) {
    const ProcessEnd end = process.end().value();
    if (end.signal == 0 && end.exit_code == exit_code::kOk) return;
    const std::string last = last_line(process.complaints());
    const std::string words = last.empty() ? "" : ": " + quotable(last);
    if (end.signal == 0 && end.exit_code == exit_code::kUnsupported)
      throw RepetitionFailure("unsupported", "the peer can't run here" + words);
    RepetitionFailure failure(end.signal != 0 ? "crashed" : "failed",
                              "the peer's " + role + " part ended: " + end.describe() + words);
    if (end.signal != 0)
      failure.signal = end.signal;
    else
      failure.exit_code = end.exit_code;
    throw RepetitionFailure(failure);
  }

  void judge(double lived_s) {
    PeerReport report;
    try {
      report = parse_peer_report(destination_part_->said());
    } catch (const std::invalid_argument& problem) {
      throw RepetitionFailure("failed", problem.what());
    }
    const uint64_t expected =
        expectations_.read_bytes(setup_.cell.workload, accesses_, setup_.draw);
    if (report.bytes != expected)
      throw RepetitionFailure(
          "failed",
          fmt::format("the peer read {} B where the accesses are {} B", report.bytes, expected));
    if (report.duration_s > lived_s)
      throw RepetitionFailure("failed", fmt::format("the peer says that it took {:.3f} s and lived "
                                                    "for {:.3f} s",
                                                    report.duration_s, lived_s));
    check_digest(report);
    fill(report);
    finish();
    check_limit(report);
  }

  void check_digest(const PeerReport& report) {
    const bool is_sha256 = !report.sha256.empty();
    const std::string& got = is_sha256 ? report.sha256 : report.xxh3_128;
    const std::string wanted =
        is_sha256 ? expectations_.read_sha256(setup_.cell.workload, accesses_, setup_.draw)
                  : to_hex(expectations_.read(setup_.cell.workload, accesses_, setup_.draw));
    if (got != wanted)
      throw RepetitionFailure("corrupt", "the bytes that the peer read have the digest " + got +
                                             " instead of " + wanted);
  }

  void fill(const PeerReport& report) {
    row_.set("accesses", accesses_);
    row_.set("checked_B", report.bytes);
    row_.set("duration_s", report.duration_s);
    row_.set("throughput_Bps", static_cast<double>(report.bytes) / report.duration_s);
    row_.set("latency_p50_s", report.latency_p50_s);
    row_.set("latency_p99_s", report.latency_p99_s);
    row_.set("faults", report.faults);
    if (workload_.access.order == AccessOrder::sequential && report.bytes >= workload_.region_bytes)
      row_.set("full_s", report.duration_s);
    const rusage& spent = destination_part_->end()->usage;
    row_.set("cpu_dst_s", seconds_of(spent.ru_utime) + seconds_of(spent.ru_stime));
    row_.set("peak_rss_dst_B", static_cast<uint64_t>(spent.ru_maxrss) * 1024);
    row_.set("minor_faults", static_cast<uint64_t>(spent.ru_minflt));
    row_.set("major_faults", static_cast<uint64_t>(spent.ru_majflt));
    row_.set("ctx_switches", static_cast<uint64_t>(spent.ru_nvcsw + spent.ru_nivcsw));
  }

  void finish() {
    const ProcessEnd source_end = source_part_->stop();
    const Json finished = ask_source({{"do", "finish"}});
    row_.set("cpu_src_s", finished.at("spent").at("cpu_s").get<double>() +
                              seconds_of(source_end.usage.ru_utime) +
                              seconds_of(source_end.usage.ru_stime));
    const WireCounters wire = link_->counters();
    row_.set("wire_tx_B", wire.sent_bytes);
    row_.set("wire_rx_B", wire.received_bytes);
    row_.set("wire_pkts", wire.packets);
    if (setup_.engine == LinkEngine::tun) row_.set("cpu_link_s", seconds(link_->engine_cpu()));
  }

  // It measured itself: what is faster than a copy, or than the link that its bytes crossed, is
  // not believed.
  void check_limit(const PeerReport& report) {
    const double rate = static_cast<double>(report.bytes) / report.duration_s;
    double limit = setup_.copy_rate;
    const bool has_crossed = link_->counters().sent_bytes >= report.bytes;
    if (has_crossed && setup_.calibration != nullptr && setup_.calibration->bits_per_second)
      limit = std::min(limit, *setup_.calibration->bits_per_second / 8);
    if (rate > kImpossible * limit)
      throw RepetitionFailure("invalid", fmt::format("the peer says {:.0f} B/s where {:.0f} are "
                                                     "possible",
                                                     rate, limit));
  }

  const RepetitionSetup& setup_;
  Expectations& expectations_;
  InterruptWatch& interrupt_;
  Row& row_;
  const Workload& workload_;
  const ApproachSpec& approach_;
  const uint64_t accesses_;
  const Deadline deadline_;
  FileDescriptor content_, trace_;
  std::unique_ptr<Link> link_;
  std::optional<Outage> outage_;
  std::optional<Agent> source_;  // after link_: all of these end before their namespaces go
  std::optional<PeerProcess> source_part_, destination_part_;
};

}  // namespace

void run_peer(const RepetitionSetup& setup, Expectations& expectations, InterruptWatch& interrupt,
              Row& row) {
  PeerRepetition(setup, expectations, interrupt, row).run();
  row.set("integrity_ok", true);
  row.set("status", "ok");
}

}  // namespace memsync
