#include "harness/campaign.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <thread>

#include "approaches/peer.h"
#include "approaches/registry.h"
#include "harness/campaign_files.h"
#include "harness/controls.h"
#include "harness/dimensions.h"
#include "harness/environment.h"
#include "harness/exit_codes.h"
#include "harness/machine.h"
#include "harness/machine_lock.h"
#include "harness/peer_programs.h"
#include "harness/progress.h"
#include "harness/quiet_gate.h"
#include "harness/registry_json.h"
#include "harness/repetition_parts.h"
#include "harness/results_directory.h"
#include "harness/results_verbs.h"
#include "lib/region/quantity.h"
#include "netem/calibration.h"

namespace memsync {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr const char* kExternalLink = "external";
// How long all repetitions together may wait for a quiet machine: a share of what they take.
constexpr Nanoseconds kPatienceLeast = std::chrono::seconds(10);
constexpr double kPatienceShare = 0.05;

struct KnownCalibration {
  Calibration calibration;
  unsigned block = 0;  // in which it was taken
};

void set_link(const Calibration& calibration, Row& row) {
  row.set("tcp_cc", calibration.tcp_congestion_control);
  if (calibration.bits_per_second) row.set("rate_meas_Bps", *calibration.bits_per_second / 8);
  row.set("rtt_p50_meas_s", calibration.rtt_p50_s);
  row.set("rtt_p99_meas_s", calibration.rtt_p99_s);
  row.set("link_ok", calibration.ok());
}

// Which draw of its accesses a repetition makes; the same for all series of its round.
uint64_t draw_of(const Suite& suite, const Workload& workload, const Run& run) {
  if (!workload.is_drawn_afresh) return 0;
  return 1 + run.rep + (run.is_warmup ? 0 : suite.warmup);
}

class Campaign {
 public:
  explicit Campaign(const RunOptions& options) : options_(options) {
    if (options.resume.empty())
      begin();
    else
      resume();
  }

  int run();

 private:
  void begin();
  void resume();
  void adjust_suite();
  void make_plan_and_order();
  std::string question();
  std::string new_directory_name() const;
  CampaignFacts facts() const;
  void append_unsupported();
  void append_run(const Run& run);
  void measure(const Run& run, Row& row);
  const Calibration* calibration_of(size_t link, unsigned block);
  bool wait_for_quiet();
  std::string free_run_id(const Run& run) const;
  bool budget_ends() const;
  int finish(bool interrupted);

  RunOptions options_;
  MachineLock machine_lock_;
  Suite suite_;
  Plan plan_;
  std::vector<Run> order_;
  std::optional<ResultsDirectory> directory_;
  std::string campaign_id_;
  std::string suite_origin_;
  GitState git_;
  Json host_;
  double copy_rate_ = 0;
  std::map<size_t, KnownCalibration> calibrations_;
  Json calibration_log_ = Json::array();
  std::set<std::string> done_;  // run ids of rows that are there
  std::map<unsigned, double> block_seconds_;
  std::unique_ptr<Expectations> expectations_;
  std::unique_ptr<Progress> progress_;
  std::optional<QuietGate> gate_;
  std::optional<InterruptWatch> interrupt_;
  Deadline start_ = Clock::now();
  bool cut_short_ = false;  // by the time budget or the number of rounds
};

std::string Campaign::question() {
  return question_digest(suite_, options_, plan_, order_, *expectations_);
}

void Campaign::begin() {
  suite_ = load_suite(options_.suite, suite_folders());
  suite_origin_ = fs::absolute(suite_.path).string();
  if (!options_.content.empty()) options_.content = fs::absolute(options_.content).string();
  adjust_suite();
  refuse_unused_peers(suite_, options_.peers);
  make_plan_and_order();
  host_ = host_json();
  git_ = git_state(source_folder());
  directory_ = options_.out.empty()
                   ? ResultsDirectory::create_unique(results_folder(), new_directory_name())
                   : ResultsDirectory::create(options_.out);
  campaign_id_ = options_.out.empty() ? fs::path(directory_->path()).filename().string()
                                      : new_directory_name();
  directory_->write_file("suite.yaml", suite_.text);
  directory_->write_json("schema.json", schema_json());
  directory_->write_json("registry.json", registry_json(suite_, plan_.engine));
  directory_->write_json("env.json", audit_host(directory_->path()));
  directory_->write_file("plan.csv", plan_csv(suite_, plan_));
  Json manifest = {{"schema_version", kSchemaVersion},
                   {"campaign_id", campaign_id_},
                   {"suite", suite_.name},
                   {"suite_path", portable_path(suite_origin_)},
                   {"argv", options_.command_line},
                   {"seed", suite_.seed},
                   {"reps", suite_.reps},
                   {"content", options_.content},
                   {"filter", options_.filter},
                   {"controls", options_.controls},
                   {"peers", options_.peers},
                   {"link_engine", engine_name(plan_.engine)},
                   {"git_sha", git_.sha},
                   {"git_dirty", git_.dirty},
                   {"git_diff_digest", git_.diff_digest},
                   {"config_sha256", config_digest(suite_, options_)},
                   {"host", host_},
                   {"started_utc", utc_now_iso()},
                   {"question_sha256", question()}};
  if (options_.time_budget) manifest["time_budget_s"] = seconds(*options_.time_budget);
  // Last: a directory without it is no campaign that could be resumed.
  directory_->write_json("manifest.json", manifest);
}

void Campaign::resume() {
  directory_ = ResultsDirectory::reopen(options_.resume);
  Json manifest = directory_->read_json("manifest.json");
  const bool same_columns = directory_->read_file("runs.csv").starts_with(csv_header());
  if (manifest.value("schema_version", 0) != kSchemaVersion || !same_columns)
    throw std::runtime_error(options_.resume +
                             " was written by another version of memsync: begin a new campaign");
  campaign_id_ = manifest.at("campaign_id");
  suite_origin_ =
      (fs::path(source_folder()) / manifest.at("suite_path").get<std::string>()).string();
  options_.content = manifest.at("content");
  options_.filter = manifest.at("filter");
  options_.controls = manifest.at("controls");
  options_.peers = manifest.value("peers", std::map<std::string, std::string>{});
  options_.reps = manifest.at("reps").get<unsigned>();
  options_.seed = manifest.at("seed").get<uint64_t>();
  if (manifest.contains("time_budget_s"))
    options_.time_budget = from_seconds(manifest["time_budget_s"].get<double>());
  suite_ = parse_suite(directory_->read_file("suite.yaml"), suite_origin_, registered_strategies());
  adjust_suite();
  make_plan_and_order();
  if (question() != manifest.at("question_sha256").get<std::string>())
    throw std::invalid_argument(
        options_.resume +
        " asked something else: the content, the agents, or what this machine can run has changed "
        "since, so its rows can't be continued; begin a new campaign");
  host_ = host_json();
  if (host_.at("host_id") != manifest.at("host").at("host_id"))
    throw std::runtime_error(
        options_.resume +
        " was begun on another machine; its rows can't be pooled with this one's");
  git_ = git_state(source_folder());
  for (const Row& row : directory_->rows())
    if (row.get("status") != "interrupted") done_.insert(row.get("run_id"));
  if (fs::exists(directory_->file("calibration.json")))
    calibration_log_ = directory_->read_json("calibration.json").at("calibrations");
  // They are of the rows that were; finish() writes those of the rows that will be.
  manifest.erase("files");
  directory_->write_json("manifest.json", manifest);
}

void Campaign::adjust_suite() {
  if (!options_.content.empty()) use_content_file(suite_, options_.content);
  if (options_.reps) suite_.reps = *options_.reps;
  if (options_.seed) suite_.seed = *options_.seed;
  if (options_.remote) {
    LinkSpec external;
    external.name = kExternalLink;
    suite_.links = {external};
  }
}

void Campaign::make_plan_and_order() {
  Machine machine = this_machine();
  machine.peers = options_.peers;
  if (options_.remote) machine.destinations_max = 1;
  if (options_.remote)
    machine.unmet = [here = machine.unmet](const SyncStrategy& strategy, const Options& options) {
      auto unmet = here(strategy, options);
      if (strategy.info().can.shares_memory)
        unmet.push_back("two machines share no memory; leave the agents out to run it here");
      if (&strategy == &peer_strategy())
        unmet.push_back("a peer runs on this machine alone; leave the agents out");
      return unmet;
    };
  plan_ = options_.controls ? make_plan_with_controls(suite_, machine, options_.filter)
                            : make_plan(suite_, machine, options_.filter);
  order_ = order(plan_, suite_.seed);
  // Only now: what is wrong with the question is said at once, whoever measures meanwhile.
  if (!options_.concurrent) machine_lock_ = MachineLock::wait_for();
  expectations_ = std::make_unique<Expectations>(suite_);
}

CampaignFacts Campaign::facts() const {
  return {.campaign_id = campaign_id_,
          .engine = options_.remote ? kExternalLink : std::string(engine_name(plan_.engine)),
          .is_external = options_.remote.has_value(),
          .config_sha256 = config_digest(suite_, options_),
          .host = host_,
          .git = git_};
}

std::string Campaign::new_directory_name() const {
  const std::string sha = git_.sha.empty() ? "nogit" : git_.sha.substr(0, 7);
  return fmt::format("{}-{}-{}{}-{}", utc_now_compact(), suite_.name, sha,
                     git_.dirty ? "-dirty" : "",
                     host_.at("host_id").get<std::string>().substr(0, 8));
}

// An unsupported combination is a row too, so that nobody takes it for forgotten.
void Campaign::append_unsupported() {
  for (const Cell& cell : plan_.cells) {
    const std::string run_id = "unsupported." + cell.cell_id;
    if (cell.status != CellStatus::unsupported || done_.contains(run_id)) continue;
    Row row = dimensions_of(suite_, cell, facts());
    row.set("run_id", run_id);
    for (const char* column : {"block", "order_in_block", "order_global", "rep"})
      row.set(column, 0);
    row.set("is_warmup", false);
    row.set("status", "unsupported");
    row.set("status_detail", cell.reason);
    directory_->append(row);
  }
}

std::string Campaign::free_run_id(const Run& run) const {
  return fmt::format("r{:05}", run.order_global);
}

const Calibration* Campaign::calibration_of(size_t link, unsigned block) {
  if (options_.remote) return nullptr;
  const auto known = calibrations_.find(link);
  const bool tried = known != calibrations_.end();
  if (tried && known->second.calibration.ok() &&
      (known->second.block == block || !plan_.calibrates_each_block))
    return &known->second.calibration;
  progress_->begin("calibrating link " + suite_.links[link].name);
  // A busy moment of the machine is no property of the link: three tries the first time, and one
  // before each repetition as long as none has succeeded.
  Calibration calibration;
  for (int attempt = tried && !known->second.calibration.ok() ? 2 : 0; attempt < 3; ++attempt) {
    interrupt_->check();
    // What it measures is the line, both ways, before anything is forbidden or cut.
    LinkSetup setup = link_setup(suite_, link, plan_.engine);
    setup.dials = Dials::any;
    const auto made = make_link(setup);
    calibration = calibrate(*made);
    calibration_log_.push_back(calibration_json(calibration, suite_.links[link]));
    if (calibration.ok()) break;
  }
  directory_->write_json("calibration.json", {{"engine", engine_name(plan_.engine)},
                                              {"copy_Bps", copy_rate_},
                                              {"calibrations", calibration_log_}});
  calibrations_[link] = {calibration, block};
  return &calibrations_[link].calibration;
}

// What others do at one end of a line between real machines is not seen from here.
bool Campaign::wait_for_quiet() {
  if (options_.remote) return true;
  bool told = false;
  return gate_->wait([&](double others) {
    interrupt_->check();
    if (!std::exchange(told, true))
      progress_->note(
          fmt::format("others use {:.0f} % of this machine: waiting a little", 100 * others));
  });
}

void Campaign::measure(const Run& run, Row& row) {
  const Cell& cell = plan_.cells[run.cell];
  const Calibration* calibration = nullptr;
  std::string problem;
  try {
    calibration = calibration_of(cell.link, run.block);
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& failure) {
    problem = std::string("calibrating the link: ") + failure.what();
  }
  if (calibration != nullptr) set_link(*calibration, row);
  progress_->begin(
      fmt::format("{} {} {}", cell.cell_id, run.is_warmup ? "warm-up" : "repetition", run.rep + 1));
  if (!problem.empty()) {
    row.set("status", "failed");
    row.set("status_detail", problem);
    return;
  }
  const bool was_quiet = wait_for_quiet();
  row.set("t_start_utc", utc_now_iso());
  const RepetitionSetup setup{suite_,
                              cell,
                              campaign_id_,
                              row.get("run_id"),
                              directory_->file("logs"),
                              plan_.engine,
                              calibration,
                              copy_rate_,
                              was_quiet,
                              directory_->file("kept/" + cell.cell_id),
                              draw_of(suite_, suite_.workloads[cell.workload], run),
                              options_.remote ? &*options_.remote : nullptr,
                              options_.peers};
  run_repetition(setup, *expectations_, *interrupt_, row);
}

void Campaign::append_run(const Run& run) {
  const Cell& cell = plan_.cells[run.cell];
  Row row = dimensions_of(suite_, cell, facts());
  row.set("block", run.block + 1);
  row.set("order_in_block", run.order_in_block + 1);
  row.set("order_global", run.order_global + 1);
  row.set("rep", run.rep + 1);
  row.set("is_warmup", run.is_warmup);
  row.set("run_id", free_run_id(run));
  measure(run, row);
  directory_->append(row);
  progress_->end(row.get("status"), row.get("status_detail"), from_seconds(cell.estimated_s));
}

bool Campaign::budget_ends() const {
  if (!options_.time_budget || block_seconds_.empty()) return false;
  const double longest =
      std::max_element(block_seconds_.begin(), block_seconds_.end(), [](auto& a, auto& b) {
        return a.second < b.second;
      })->second;
  return seconds(Clock::now() - start_) + longest > seconds(*options_.time_budget);
}

int Campaign::run() {
  double estimated = 0;
  uint64_t left = 0;
  for (const Run& run : order_)
    if (!done_.contains(free_run_id(run))) {
      ++left;
      estimated += plan_.cells[run.cell].estimated_s;
    }
  fmt::print(stderr,
             "suite {}: {} repetitions of {} cells over engine {}, about {:.0f} s; results in {}\n",
             suite_.name, left, plan_.cells.size(), engine_name(plan_.engine), estimated,
             directory_->path());
  copy_rate_ = measure_copy_rate();
  interrupt_.emplace();
  gate_.emplace(
      GatePatience{.campaign = std::max(kPatienceLeast, from_seconds(kPatienceShare * estimated))});
  progress_ = std::make_unique<Progress>(left, from_seconds(estimated));
  bool interrupted = false;
  try {
    append_unsupported();
    for (const Run& run : order_) {
      if (done_.contains(free_run_id(run))) continue;
      if (!block_seconds_.contains(run.block)) {  // a round begins, or goes on where it was left
        if (options_.rounds && block_seconds_.size() == *options_.rounds) {
          cut_short_ = true;
          break;
        }
        if (budget_ends()) {
          cut_short_ = true;
          progress_->note(
              fmt::format("the time budget ends here: rounds from {} on are left out", run.block));
          break;
        }
      }
      const Deadline before = Clock::now();
      append_run(run);
      block_seconds_[run.block] += seconds(Clock::now() - before);
    }
  } catch (const Interrupted&) {
    interrupted = true;
  }
  progress_.reset();
  return finish(interrupted);
}

int Campaign::finish(bool interrupted) {
  std::map<std::string, uint64_t> counts;
  for (const Row& row : directory_->rows()) ++counts[row.get("status")];
  std::string summary;
  for (const auto& [status, count] : counts)
    summary += fmt::format("{}{} {}", summary.empty() ? "" : ", ", count, status);
  fmt::print(stderr, "{}\n", summary.empty() ? "no repetition ran" : summary);
  Json manifest = directory_->read_json("manifest.json");
  manifest["ended_utc"] = utc_now_iso();
  manifest["complete"] = !interrupted && !cut_short_;
  manifest["files"] = file_digests(*directory_);
  directory_->write_json("manifest.json", manifest);
  if (interrupted)
    fmt::print(
        stderr,
        "interrupted; every finished repetition is kept. Go on with: {} run --resume {}{}\n",
        options_.command_line.empty() ? "memsync" : options_.command_line[0], directory_->path(),
        options_.remote ? " and the same --source-agent, --destination-agent, --agent-token" : "");
  // Rounds in turns with another build are judged together, when all have run.
  if (!interrupted && !options_.rounds && !suite_.demands.empty())
    tell_demands(directory_->path(),
                 options_.json ? TableTo::standard_error : TableTo::standard_output);
  if (options_.json)
    fmt::print("{}\n", Json{{"counts", counts}, {"complete", manifest["complete"]}}.dump());
  fmt::print("{}\n", directory_->path());
  if (interrupted) return exit_code::kInterrupted;
  const uint64_t total = counts["ok"] + counts["unsupported"];
  uint64_t all = 0;
  for (const auto& [status, count] : counts) all += count;
  if (all == 0 || total < all) return exit_code::kIncomplete;
  return counts["ok"] == 0 ? exit_code::kUnsupported : exit_code::kOk;
}

}  // namespace

int run_campaign(const RunOptions& options) {
  return Campaign(options).run();
}

}  // namespace memsync
