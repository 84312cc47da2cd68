#include "harness/registry_json.h"

#include <array>
#include <fmt/format.h>
#include <set>

#include "approaches/peer.h"
#include "approaches/registry.h"
#include "harness/columns.h"
#include "harness/controls.h"
#include "harness/environment.h"
#include "harness/machine.h"

namespace memsync {

namespace {

using Json = nlohmann::json;

// Okabe and Ito's palette, without black and yellow (thin lines of yellow vanish on white).
constexpr std::array kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                 "#E69F00", "#56B4E9", "#7F7F7F"};
constexpr std::array kMarkers = {"o", "s", "^", "D", "v", "P", "X"};

Json capabilities_json(const Capabilities& can) {
  return {{"source_before", access_name(can.source_before)},
          {"destination_before", access_name(can.destination_before)},
          {"destination_after", access_name(can.destination_after)},
          {"writes_reach_peer", can.writes_reach_peer},
          {"tracks_writes", can.tracks_writes},
          {"readable_before_complete", can.readable_before_complete},
          {"destinations_max", can.destinations_max},
          {"shares_memory", can.shares_memory},
          {"source_dials", can.source_dials}};
}

Json option_json(const OptionSpec& option) {
  return {{"name", option.name},
          {"default", option.default_value},
          {"unit", option.unit},
          {"choices", option.choices},
          {"help", option.help}};
}

Json approach_json(const SyncStrategy& strategy) {
  const StrategyInfo& info = strategy.info();
  Json options = Json::array();
  for (const auto& specs : {info.options, common_options()})
    for (const OptionSpec& option : specs) options.push_back(option_json(option));
  const auto unmet = strategy.unmet_requirements(Options(info.options, {}));
  return {{"name", info.name},
          {"summary", info.summary},
          {"reference", info.reference},
          {"capabilities", capabilities_json(info.can)},
          {"options", options},
          {"exact", info.payload_is_exact ? Json::array({"payload_B"}) : Json::array()},
          {"available", unmet.empty()},
          {"unmet", unmet}};
}

Json approaches_json() {
  Json list = Json::array();
  for (const SyncStrategy* strategy : all_strategies()) list.push_back(approach_json(*strategy));
  return list;
}

// Nothing outside the directory is needed to tell what a series was: a peer is in no registry.
void add_peers(const Suite& suite, Json& approaches) {
  for (const ApproachSpec& approach : suite.approaches) {
    if (!is_peer(approach.use)) continue;
    Json peer = approach_json(peer_strategy());
    peer["name"] = approach.use;
    approaches.push_back(peer);
  }
}

Json cell_json(const MeasuredCell& cell) {
  return {{"series", cell.series},
          {"workload", cell.workload},
          {"link", cell.link},
          {"column", cell.column}};
}

Json demand_json(const Demand& demand) {
  return {{"id", demand.id},
          {"what", demand.what},
          {"ours", cell_json(demand.ours)},
          {"against", demand.against ? cell_json(*demand.against) : Json(nullptr)},
          {"limit", demand.against ? Json(nullptr) : Json(demand.limit)},
          {"required", demand.required},
          {"comparison", demand.comparison},
          {"bound", demand.bound},
          {"pairs", demand.pairs}};
}

Json link_json(const LinkSpec& link) {
  const LinkShape& shape = link.shape;
  Json json = {{"name", link.name},
               {"rtt_s", seconds(shape.rtt)},
               {"loss_ratio", shape.loss_ratio},
               {"jitter_s", seconds(shape.jitter)},
               {"queue_B", queue_bytes_of(shape)},
               {"dials", dials_name(link.dials)},
               {"cut_after_s", nullptr},
               {"cut_s", nullptr},
               {"rate_Bps", nullptr}};
  if (link.cut) {
    json["cut_after_s"] = seconds(link.cut->after);
    json["cut_s"] = seconds(link.cut->length);
  }
  if (shape.bits_per_second) json["rate_Bps"] = static_cast<double>(*shape.bits_per_second) / 8;
  return json;
}

// A colour that comes again has another marker: 49 series look different.
const char* marker_of(size_t index) {
  return kMarkers[(index + index / kColours.size()) % kMarkers.size()];
}

Json series_json(const ApproachSpec& approach, const SeriesRelation& relation, size_t index) {
  const SyncStrategy* strategy = find_strategy(approach.use);
  Json series = {{"series", approach.as},
                 {"approach", approach.use},
                 {"options", Options(strategy->info().options, approach.with).canonical()},
                 {"colour", kColours[index % kColours.size()]},
                 {"marker", marker_of(index)},
                 {"role", series_role_name(relation.role)},
                 {"of", relation.of}};
  if (relation.role == SeriesRole::planted)
    series["planted_delay_s"] = seconds(relation.planted_delay);
  return series;
}

Json joined_names(const std::vector<std::string>& names) {
  return names.empty() ? Json(nullptr) : Json(fmt::format("{}", fmt::join(names, "|")));
}

}  // namespace

Json list_json() {
  Json json;
  json["approaches"] = approaches_json();
  json["links"] = Json::array();
  for (const LinkProfile& profile : link_profiles())
    json["links"].push_back({{"name", profile.name},
                             {"rate", profile.rate},
                             {"rtt", profile.rtt},
                             {"dials", profile.dials},
                             {"cut_for", profile.cut_for},
                             {"summary", profile.summary}});
  json["link_engines"] = Json::array();
  for (const EngineState& engine : probe_engines())
    json["link_engines"].push_back({{"name", engine_name(engine.engine)},
                                    {"available", engine.available},
                                    {"reason", engine.reason},
                                    {"next_step", engine.next_step}});
  json["workloads"] = {
      {{"name", "read"}, {"summary", "the destination reads the region, or a part of it"}},
      {{"name", "update"},
       {"summary", "the region changes at one side, then sync(), so many rounds"}},
      {{"name", "handover"},
       {"summary", "a writer moves from the source to the destination while it writes"}}};
  json["suites"] = Json::array();
  for (const std::string& folder : suite_folders())
    for (const SuiteSummary& suite : shipped_suites(folder))
      json["suites"].push_back({{"name", suite.name},
                                {"path", suite.path},
                                {"question", suite.question},
                                {"problem", suite.problem}});
  json["backends"] = {{{"name", "memory"}, {"summary", "bytes in memory"}},
                      {{"name", "file"}, {"summary", "a file's bytes by pread and pwrite"}},
                      {{"name", "pattern"}, {"summary", "seeded content, computed when read"}},
                      {{"name", "zero"}, {"summary", "zeros"}}};
  json["transports"] = {{{"name", native_transport().name()},
                         {"summary", "lean binary protocol over TCP or UNIX sockets"}}};
  json["attachments"] = Json::array();
  std::set<std::string_view> attachments;
  for (const SyncStrategy* strategy : all_strategies())
    if (!strategy->info().attachment.empty()) attachments.insert(strategy->info().attachment);
  for (const std::string_view name : attachments) json["attachments"].push_back({{"name", name}});
  json["metrics"] = Json::array();
  for (const Column& column : columns())
    if (!column.direction.empty())
      json["metrics"].push_back({{"name", column.name},
                                 {"unit", column.unit},
                                 {"better", column.direction},
                                 {"description", column.description}});
  return json;
}

Json registry_json(const Suite& suite, LinkEngine engine) {
  Json json = {{"schema_version", kSchemaVersion},
               {"tool_version", tool_version()},
               {"suite",
                {{"name", suite.name},
                 {"question", suite.question},
                 {"hypothesis", suite.hypothesis},
                 {"reps", suite.reps},
                 {"seed", suite.seed}}},
               {"approaches", approaches_json()},
               {"series", Json::array()},
               {"workloads", Json::array()},
               {"links", Json::array()},
               {"exclusions", Json::array()},
               {"demands", Json::array()}};
  add_peers(suite, json["approaches"]);
  const auto relations = relations_of(suite, registered_strategies());
  for (size_t i = 0; i < suite.approaches.size(); ++i)
    json["series"].push_back(series_json(suite.approaches[i], relations[i], i));
  for (const Workload& workload : suite.workloads) {
    Json entry = {{"name", workload.name},
                  {"does", workload_kind_name(workload.does)},
                  {"region_B", workload.region_bytes},
                  {"chunk_B", workload.chunk_bytes},
                  {"content", workload.content.text},
                  {"access", workload.access.text},
                  {"touch_B", workload.touch_bytes},
                  {"accesses", nullptr},
                  {"threads", workload.threads}};
    if (const auto count = workload.access_count()) entry["accesses"] = *count;
    json["workloads"].push_back(entry);
  }
  for (const LinkSpec& link : suite.links) {
    Json entry = link_json(link);
    entry["engine"] = engine_name(link.engine.value_or(engine));
    json["links"].push_back(entry);
  }
  for (const Exclusion& exclusion : suite.exclusions)
    json["exclusions"].push_back({{"approach", joined_names(exclusion.approaches)},
                                  {"workload", joined_names(exclusion.workloads)},
                                  {"link", joined_names(exclusion.links)},
                                  {"because", exclusion.because}});
  for (const Demand& demand : suite.demands) json["demands"].push_back(demand_json(demand));
  return json;
}

}  // namespace memsync
