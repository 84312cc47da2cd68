// What `memsync push` says: on stderr while it goes on, on stdout what came of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "approaches/sync_strategy.h"
#include "lib/region/quantity.h"

namespace memsync {

void tell_push(const std::string& sentence);

struct PushTotals {
  uint64_t files = 0;
  uint64_t size_bytes = 0;  // of all files, at the end
  uint64_t rounds = 0;
  SyncReport moved;                      // of all rounds
  std::optional<SyncReport> verified{};  // what verifying has sent again
  uint64_t bytes_sent = 0;               // on all connections, whatever for
  uint64_t times_broken = 0;
  Nanoseconds elapsed{};
  std::vector<std::string> missing{};  // files that were not there at the end
};

void add(const SyncReport& round, SyncReport& into);
// A round that has moved something, while more are to come.
void report_round(uint64_t number, const SyncReport& round);
void report_push(const PushTotals& totals, bool json);

}  // namespace memsync
