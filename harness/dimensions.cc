#include "harness/dimensions.h"

#include <fmt/format.h>

#include "approaches/registry.h"

namespace memsync {

namespace {

std::string cpu_name(const std::optional<unsigned>& cpu) {
  return cpu ? std::to_string(*cpu) : "any";
}

std::string placement_text(const Placement& placement, IdleCpus idle) {
  return fmt::format("source={};destination={};link={}{}", cpu_name(placement.source),
                     cpu_name(placement.destination), cpu_name(placement.link),
                     idle == IdleCpus::sleep ? ";idle=sleep" : "");
}

// The source keeps the bytes in memory, or computes them; `local-` are readers in the destination's
// process.
std::string backend_name(const Options& options, const Workload& workload) {
  if (options.backend() == "peer") return workload.is_computed ? "computed" : "memory";
  if (options.backend() == "pattern") return "local-pattern";
  return workload.content.kind == ContentSpec::Kind::file ? "local-file" : "local-memory";
}

}  // namespace

Row dimensions_of(const Suite& suite, const Cell& cell, const CampaignFacts& facts) {
  const Workload& workload = suite.workloads[cell.workload];
  const ApproachSpec& approach = suite.approaches[cell.approach];
  const LinkSpec& link = suite.links[cell.link];
  const SyncStrategy* strategy = find_strategy(approach.use);
  const Options options(strategy->info().options, approach.with);
  Row row;
  row.set("schema_version", kSchemaVersion);
  row.set("campaign_id", facts.campaign_id);
  row.set("cell_id", cell.cell_id);
  row.set("suite", suite.name);
  row.set("seed", suite.seed);
  row.set("approach", approach.use);
  row.set("series", approach.as);
  row.set("attachment", std::string(strategy->info().attachment));
  if (uses_link(*strategy, options)) row.set("transport", std::string(strategy->info().transport));
  row.set("backend", backend_name(options, workload));
  row.set("workload", workload.name);
  row.set("access_pattern", workload.does == WorkloadKind::read ? workload.access.text
                            : workload.writer                   ? workload.writer->access.text
                                                                : "");
  row.set("region_B", workload.region_bytes);
  row.set("chunk_B", workload.chunk_bytes);
  row.set("content", workload.content.text);
  row.set("cold", true);
  row.set("placement", placement_text(suite.placement_of(approach), link.idle));
  row.set("receivers", workload.receivers);
  row.set("dirty_ratio", workload.dirty_ratio);
  if (workload.does == WorkloadKind::update)
    row.set("changed_at", workload.changes_at_destination ? "destination" : "source");
  if (workload.writer) row.set("write_rate_Bps", workload.writer->bytes_per_second);
  row.set("options", options.canonical());
  row.set("link", link.name);
  row.set("link_engine", facts.engine);
  if (link.shape.bits_per_second)
    row.set("rate_cfg_Bps", static_cast<double>(*link.shape.bits_per_second) / 8);
  if (!facts.is_external) {
    row.set("rtt_cfg_s", seconds(link.shape.rtt));
    row.set("loss_cfg_ratio", link.shape.loss_ratio);
    row.set("queue_cfg_B", queue_bytes_of(link.shape));
    row.set("dials", std::string(dials_name(link.dials)));
    if (link.cut) {
      row.set("cut_after_cfg_s", seconds(link.cut->after));
      row.set("cut_cfg_s", seconds(link.cut->length));
    }
  }
  row.set("t_start_utc", utc_now_iso());
  row.set("host_id", facts.host.at("host_id").get<std::string>());
  row.set("kernel", facts.host.at("kernel").get<std::string>());
  row.set("build_id", facts.host.at("build_id").get<std::string>());
  row.set("git_sha", facts.git.sha);
  row.set("git_dirty", facts.git.dirty);
  row.set("config_sha256", facts.config_sha256);
  row.set("tool_version", tool_version());
  return row;
}

}  // namespace memsync
