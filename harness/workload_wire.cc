#include "harness/workload_wire.h"

#include "lib/backend/stores.h"

namespace memsync {

namespace {

nlohmann::json to_json(const AccessSpec& access) {
  return {{"order", static_cast<int>(access.order)},
          {"theta", access.theta},
          {"stride_bytes", access.stride_bytes},
          {"trace", access.trace}};
}

AccessSpec access_from_json(const nlohmann::json& json) {
  AccessSpec access;
  access.order = static_cast<AccessOrder>(json.at("order").get<int>());
  access.theta = json.at("theta");
  access.stride_bytes = json.at("stride_bytes");
  access.trace = json.at("trace").get<std::vector<uint64_t>>();
  return access;
}

}  // namespace

nlohmann::json to_json(const Workload& workload) {
  nlohmann::json json = {{"does", static_cast<int>(workload.does)},
                         {"region_bytes", workload.region_bytes},
                         {"chunk_bytes", workload.chunk_bytes},
                         {"touch_bytes", workload.touch_bytes},
                         {"content", static_cast<int>(workload.content.kind)},
                         {"content_path", workload.content.path},
                         {"access", to_json(workload.access)},
                         {"changes_at_destination", workload.changes_at_destination},
                         {"rounds", workload.rounds},
                         {"receivers", workload.receivers},
                         {"threads", workload.threads},
                         {"is_computed", workload.is_computed}};
  if (workload.accesses) json["accesses"] = *workload.accesses;
  if (workload.for_duration) json["for_ns"] = workload.for_duration->count();
  if (workload.dirty_ratio) json["dirty_ratio"] = *workload.dirty_ratio;
  if (workload.writer)
    json["writer"] = {{"bytes_per_second", workload.writer->bytes_per_second},
                      {"span_bytes", workload.writer->span_bytes},
                      {"access", to_json(workload.writer->access)}};
  return json;
}

Workload workload_from_json(const nlohmann::json& json) {
  Workload workload;
  workload.does = static_cast<WorkloadKind>(json.at("does").get<int>());
  workload.region_bytes = json.at("region_bytes");
  workload.chunk_bytes = json.at("chunk_bytes");
  workload.touch_bytes = json.at("touch_bytes");
  workload.content.kind = static_cast<ContentSpec::Kind>(json.at("content").get<int>());
  workload.content.path = json.at("content_path");
  workload.access = access_from_json(json.at("access"));
  workload.changes_at_destination = json.at("changes_at_destination");
  workload.rounds = json.at("rounds");
  workload.receivers = json.at("receivers");
  workload.threads = json.at("threads");
  workload.is_computed = json.at("is_computed");
  if (json.contains("accesses")) workload.accesses = json["accesses"].get<uint64_t>();
  if (json.contains("for_ns")) workload.for_duration = Nanoseconds(json["for_ns"].get<int64_t>());
  if (json.contains("dirty_ratio")) workload.dirty_ratio = json["dirty_ratio"].get<double>();
  if (json.contains("writer")) {
    const auto& writer = json["writer"];
    WriterSpec spec;
    spec.bytes_per_second = writer.at("bytes_per_second");
    spec.span_bytes = writer.at("span_bytes");
    spec.access = access_from_json(writer.at("access"));
    workload.writer = std::move(spec);
  }
  return workload;
}

std::unique_ptr<Reader> open_content(const Workload& workload, uint64_t seed) {
  const auto seeded = [&](ContentKind kind) {
    return std::make_unique<PatternReader>(kind, seed, workload.region_bytes);
  };
  switch (workload.content.kind) {
    case ContentSpec::Kind::random:
      return seeded(ContentKind::random);
    case ContentSpec::Kind::text:
      return seeded(ContentKind::text);
    case ContentSpec::Kind::zero:
      return seeded(ContentKind::zero);
    case ContentSpec::Kind::file:
      break;
  }
  return std::make_unique<FileBackend>(workload.content.path, FileBackend::Mode::read_only);
}

}  // namespace memsync
