#include "harness/push_report.h"

#include <cstdio>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace memsync {

namespace {

std::string bytes(uint64_t count) {
  return format_bytes(static_cast<double>(count));
}

std::string counted(uint64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

void tell_push(const std::string& sentence) {
  std::fputs(("memsync push: " + sentence + "\n").c_str(), stderr);
}

void add(const SyncReport& round, SyncReport& into) {
  into.chunks_examined += round.chunks_examined;
  into.chunks_moved += round.chunks_moved;
  into.payload_bytes += round.payload_bytes;
  into.elapsed += round.elapsed;
}

void report_round(uint64_t number, const SyncReport& round) {
  tell_push(fmt::format("round {}: {} ({}) in {}", number, counted(round.chunks_moved, "chunk"),
                        bytes(round.payload_bytes), format_duration(round.elapsed)));
}

void report_push(const PushTotals& totals, bool json) {
  if (json) {
    nlohmann::json line = {{"files", totals.files},
                           {"size_B", totals.size_bytes},
                           {"rounds", totals.rounds},
                           {"chunks_examined", totals.moved.chunks_examined},
                           {"chunks_moved", totals.moved.chunks_moved},
                           {"payload_B", totals.moved.payload_bytes},
                           {"sent_B", totals.bytes_sent},
                           {"duration_s", seconds(totals.elapsed)},
                           {"times_broken", totals.times_broken},
                           {"missing", totals.missing}};
    if (totals.verified) line["verify_chunks_moved"] = totals.verified->chunks_moved;
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  fmt::print("{}, {}: {} moved ({}) in {}{}\n", counted(totals.files, "file"),
             bytes(totals.size_bytes), counted(totals.moved.chunks_moved, "chunk"),
             bytes(totals.moved.payload_bytes), format_duration(totals.elapsed),
             totals.rounds == 1 ? "" : fmt::format(", {} rounds", totals.rounds));
  if (!totals.verified) return;
  if (totals.verified->chunks_moved == 0)
    fmt::print("verified: both ends have read everything again, all of it is equal\n");
  else
    fmt::print("verified: both ends have read everything again, {} differed and came once more\n",
               counted(totals.verified->chunks_moved, "chunk"));
}

}  // namespace memsync
