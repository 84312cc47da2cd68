#include "harness/campaign_files.h"

#include <filesystem>
#include <fmt/format.h>

#include "harness/environment.h"
#include "harness/sha256.h"
#include "lib/os/clock.h"
#include "lib/region/digest.h"

namespace memsync {

using Json = nlohmann::json;

std::string plan_csv(const Suite& suite, const Plan& plan) {
  std::string csv = "cell_id,approach,series,workload,link,status,reason,estimated_s,reps,warmup\n";
  for (const Cell& cell : plan.cells) {
    const bool planned = cell.status == CellStatus::planned;
    csv += fmt::format(
        "{},{},{},{},{},{},{},{:.3f},{},{}\n", csv_field(cell.cell_id),
        suite.approaches[cell.approach].use, csv_field(suite.approaches[cell.approach].as),
        csv_field(suite.workloads[cell.workload].name), csv_field(suite.links[cell.link].name),
        cell_status_name(cell.status), csv_field(cell.reason), cell.estimated_s,
        planned ? suite.reps : 0, planned ? suite.warmup : 0);
  }
  return csv;
}

Json calibration_json(const Calibration& calibration, const LinkSpec& link) {
  Json json = {{"link", link.name},
               {"utc", utc_now_iso()},
               {"asked", describe(link.shape)},
               {"rtt_min_s", calibration.rtt_min_s},
               {"rtt_p50_s", calibration.rtt_p50_s},
               {"rtt_p99_s", calibration.rtt_p99_s},
               {"rtt_probes", calibration.rtt_probes},
               {"tcp_cc", calibration.tcp_congestion_control},
               {"ok", calibration.ok()},
               {"problem", calibration.problem}};
  if (calibration.bits_per_second) json["rate_Bps"] = *calibration.bits_per_second / 8;
  if (calibration.bits_per_second_back)
    json["rate_back_Bps"] = *calibration.bits_per_second_back / 8;
  if (calibration.loss_ratio) json["loss_ratio"] = *calibration.loss_ratio;
  return json;
}

std::string config_digest(const Suite& suite, const RunOptions& options) {
  std::string changes =
      fmt::format("content={};reps={};filter={};seed={};remote={}", options.content, suite.reps,
                  options.filter, suite.seed, options.remote.has_value());
  if (options.controls) changes += ";controls=true";
  for (const auto& [name, executable] : options.peers)
    changes += ";peer:" + name + "=" + executable;
  return sha256_hex(suite.text + "\n" + changes);
}

std::string question_digest(const Suite& suite, const RunOptions& options, const Plan& plan,
                            const std::vector<Run>& order, Expectations& expectations) {
  std::string text = config_digest(suite, options);
  for (const ApproachSpec& approach : suite.approaches)
    if (!approach.only.empty()) text += "\n" + approach.as + " " + Json(approach.with).dump();
  for (const Run& run : order)
    text += fmt::format("\n{} {} {} {}", run.block, plan.cells[run.cell].cell_id, run.rep,
                        run.is_warmup);
  for (size_t workload = 0; workload < suite.workloads.size(); ++workload)
    if (!suite.workloads[workload].is_computed)
      text += "\n" + to_hex(expectations.content(workload));
  return sha256_hex(text);
}

std::string portable_path(const std::string& path) {
  const std::string inside =
      std::filesystem::path(path).lexically_relative(source_folder()).string();
  return inside.empty() || inside.starts_with("..") ? path : inside;
}

Json file_digests(const ResultsDirectory& directory) {
  Json digests = Json::object();
  for (const char* name : {"plan.csv", "runs.csv", "suite.yaml", "schema.json", "registry.json",
                           "env.json", "calibration.json"})
    if (std::filesystem::exists(directory.file(name)))
      digests[name] = sha256_hex(directory.read_file(name));
  return digests;
}

}  // namespace memsync
