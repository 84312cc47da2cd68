#include <algorithm>
#include <bit>
#include <stdexcept>

#include "harness/suite_content.h"
#include "harness/suite_fields.h"
#include "harness/suite_parser.h"

namespace memsync {

namespace {

constexpr uint64_t kTouchDefault = 4096;

WorkloadKind kind_of(const std::string& does) {
  if (does == "update") return WorkloadKind::update;
  if (does == "handover") return WorkloadKind::handover;
  return WorkloadKind::read;
}

unsigned mask_of(WorkloadKind kind) {
  switch (kind) {
    case WorkloadKind::read:
      return kRead;
    case WorkloadKind::update:
      return kUpdate;
    case WorkloadKind::handover:
      return kHandover;
  }
  return 0;
}

// Keys that say nothing about this workload are refused: whoever wrote them expects an effect.
void refuse_foreign_keys(const Fields& fields, WorkloadKind does) {
  for (const KeySpec& key : key_table("workloads").keys)
    if (fields.has(key.name) && (key.workloads & mask_of(does)) == 0)
      fields.refuse(key.name, "does not belong to a workload that does " +
                                  std::string(workload_kind_name(does)));
  const auto refuse_both = [&](std::string_view one, std::string_view other) {
    if (fields.has(one) && fields.has(other))
      fields.refuse(other, "beside `" + std::string(one) + "`: one of the two");
  };
  refuse_both("accesses", "for");
  refuse_both("threads", "for");  // how many accesses each would make is not known before
  refuse_both("dirty", "writer");
  if (does == WorkloadKind::update && !fields.has("writer"))
    for (const char* key : {"touch", "after"})
      if (fields.has(key)) fields.refuse(key, "belongs to an update with a `writer`");
  if (fields.has("writer") && fields.text("changes") == "destination")
    fields.refuse("writer",
                  "writes at the source; leave it out where changes are made at the "
                  "destination");
}

ContentSpec read_content(const SuiteSource& source, const Fields& fields) {
  ContentSpec content;
  content.text = fields.text("content");
  if (content.text == "random") return content;
  if (content.text == "zero") {
    content.kind = ContentSpec::Kind::zero;
  } else if (content.text == "text") {
    content.kind = ContentSpec::Kind::text;
  } else if (content.text.starts_with("file:") && content.text.size() > 5) {
    content.kind = ContentSpec::Kind::file;
    content.path = path_beside(source.file, content.text.substr(5));
  } else {
    fields.refuse("content",
                  "'" + content.text + "' is no content: random, text, zero or file:PATH");
  }
  return content;
}

uint64_t read_region(const Fields& fields, const ContentSpec& content) {
  if (content.kind != ContentSpec::Kind::file) {
    if (!fields.has("region"))
      fields.refuse("region", "is missing: say how large it is, like 64MiB");
    return fields.bytes("region");
  }
  uint64_t file_bytes = 0;
  try {
    file_bytes = content_file_bytes(content.path);
  } catch (const std::invalid_argument& problem) {
    fields.refuse("content", problem.what());
  }
  if (!fields.has("region")) return file_bytes;
  const uint64_t region = fields.bytes("region");
  if (region > file_bytes)
    fields.refuse("region", fields.text("region") + " is larger than " + content.path + " of " +
                                std::to_string(file_bytes) + " B");
  return region;
}

// The accesses of `key`, within the first `span` bytes.
AccessSpec read_access(const SuiteSource& source, const Fields& fields, std::string_view key,
                       uint64_t span) {
  AccessSpec access = fields.access(key);
  if (access.order == AccessOrder::stride && access.stride_bytes >= span)
    fields.refuse(key, "a stride of " + std::to_string(access.stride_bytes) + " B leaves the " +
                           std::to_string(span) + " B there are");
  if (access.order != AccessOrder::trace) return access;
  access.trace_path = path_beside(source.file, access.trace_path);
  try {
    access.trace = read_trace(access.trace_path, span);
  } catch (const std::invalid_argument& problem) {
    fields.refuse(key, problem.what());
  }
  return access;
}

void read_draws(const Fields& fields, Workload& workload) {
  workload.is_drawn_afresh = fields.text("draws") == "fresh";
  const AccessOrder order = workload.access.order;
  if (workload.is_drawn_afresh && order != AccessOrder::random && order != AccessOrder::zipf)
    fields.refuse("draws", "`fresh`, and " + workload.access.text + " accesses are not drawn");
  if (workload.is_drawn_afresh) workload.access.text += " fresh";  // another work than the same
}

WriterSpec read_writer(const SuiteSource& source, const SuiteNode& node, uint64_t region) {
  const Fields fields(source.file, node, key_table("writer"));
  WriterSpec writer;
  writer.bytes_per_second = fields.byte_rate("rate");
  writer.is_whole_region = !fields.has("span");
  writer.span_bytes = writer.is_whole_region ? region : fields.bytes("span");
  if (writer.span_bytes > region)
    fields.refuse("span", fields.text("span") + " is larger than the region of " +
                              std::to_string(region) + " B");
  writer.access = read_access(source, fields, "access", writer.span_bytes);
  return writer;
}

void read_touch(const Fields& fields, Workload& workload) {
  const uint64_t room = workload.writer ? workload.writer->span_bytes : workload.region_bytes;
  workload.touch_bytes =
      fields.has("touch") ? fields.bytes("touch") : std::min(kTouchDefault, room);
  if (workload.touch_bytes > room)
    fields.refuse("touch", fields.text("touch") + " is larger than the " +
                               (workload.writer ? "writer's span of " : "region of ") +
                               std::to_string(room) + " B");
}

void read_changes(const SuiteSource& source, const Fields& fields, Workload& workload) {
  static const SuiteNode no_keys{.kind = SuiteNode::Kind::map};
  const bool is_handover = workload.does == WorkloadKind::handover;
  if (is_handover || fields.has("writer")) {
    const SuiteNode* writer = fields.given("writer");
    workload.writer = read_writer(source, writer ? *writer : no_keys, workload.region_bytes);
    workload.after = fields.duration("after");
  } else {
    workload.dirty_ratio = fields.has("dirty") ? fields.ratio("dirty") : 0.01;
  }
  if (is_handover) return;
  workload.changes_at_destination = fields.text("changes") == "destination";
  workload.rounds = fields.count("rounds");
  workload.receivers = fields.count("receivers");
  if (workload.changes_at_destination && workload.receivers > 1)
    fields.refuse("receivers", "more than one, and the changes are made at the destination");
  workload.is_watched =
      fields.has("receivers") && workload.dirty_ratio && !workload.changes_at_destination;
}

}  // namespace

std::optional<uint64_t> Workload::access_count() const {
  if (does != WorkloadKind::read || for_duration) return std::nullopt;
  if (accesses) return accesses;
  if (access.order == AccessOrder::trace) return access.trace.size();
  return region_bytes / touch_bytes + (region_bytes % touch_bytes != 0);
}

std::string_view workload_kind_name(WorkloadKind kind) noexcept {
  switch (kind) {
    case WorkloadKind::read:
      return "read";
    case WorkloadKind::update:
      return "update";
    case WorkloadKind::handover:
      return "handover";
  }
  return "";
}

Workload parse_workload(const SuiteSource& source, const SuiteNode& node) {
  const Fields fields(source.file, node, key_table("workloads"));
  Workload workload;
  workload.at = fields.at();
  workload.name = fields.text("name");
  workload.does = kind_of(fields.text("does"));
  refuse_foreign_keys(fields, workload.does);
  workload.content = read_content(source, fields);
  workload.region_bytes = read_region(fields, workload.content);
  workload.chunk_bytes = fields.bytes("chunk");
  if (!std::has_single_bit(workload.chunk_bytes))
    fields.refuse("chunk", fields.text("chunk") + " is no power of two");
  if (workload.does == WorkloadKind::read) {
    workload.access = read_access(source, fields, "access", workload.region_bytes);
    if (fields.has("accesses")) workload.accesses = fields.count("accesses");
    if (fields.has("for")) workload.for_duration = fields.duration("for");
    read_draws(fields, workload);
    workload.threads = fields.count("threads");
    workload.is_computed = fields.text("source") == "computed";
    if (workload.is_computed && workload.content.kind == ContentSpec::Kind::file)
      fields.refuse("source", "a file's content is read, not computed");
  } else {
    read_changes(source, fields, workload);
  }
  read_touch(fields, workload);
  return workload;
}

}  // namespace memsync
