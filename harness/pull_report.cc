#include "harness/pull_report.h"

#include <cstdio>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/region/quantity.h"

namespace memsync {

void tell_on_stderr(const std::string& sentence) {
  std::fputs(("memsync pull: " + sentence + "\n").c_str(), stderr);
}

void report(const userfaultfd::FaultServer::Totals& totals, uint64_t region_bytes, bool json) {
  if (json) {
    const nlohmann::json line = {{"applications", totals.applications},
                                 {"faults", totals.faults},
                                 {"received_B", totals.bytes_received},
                                 {"lost_B", totals.bytes_lost},
                                 {"region_B", region_bytes}};
    std::fputs((line.dump() + "\n").c_str(), stderr);
    return;
  }
  tell_on_stderr(fmt::format(
      "{} of {} came for {} faults of {} application(s){}",
      format_bytes(static_cast<double>(totals.bytes_received)),
      format_bytes(static_cast<double>(region_bytes)), totals.faults, totals.applications,
      totals.bytes_lost == 0 ? "" : fmt::format("; {} B were lost", totals.bytes_lost)));
}

}  // namespace memsync
