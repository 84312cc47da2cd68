// One repetition: fresh namespaces, a fresh link, fresh agents, a workload, a checked row.
//
//   conductor        source agent            destination agent
//      ├─ prepare ──────▶ fill the store          │
//      ├─ prepare ───────────────────────────────▶│
//      ├─ open ─────────▶ open_source()           │
//      ├─ open ──────────────────────────────────▶│ t0: open_destination()
//      ├─ read / write_start, hand_over / dirty_and_sync ...
//      ├─ finish, finish, compare with the expectation
//      └─ row
#pragma once

#include <map>
#include <optional>
#include <string>

#include "harness/agent_process.h"
#include "harness/columns.h"
#include "harness/expectations.h"
#include "harness/interrupt.h"
#include "harness/plan.h"
#include "harness/suite.h"
#include "netem/calibration.h"
#include "netem/link.h"

namespace memsync {

// Real machines instead of namespaces: where their agents listen.
struct RemoteAgents {
  std::string source,
      destination;  // "HOST:PORT" of the control line; the host is also the data address
  std::string token;
};

struct RepetitionSetup {
  const Suite& suite;
  const Cell& cell;
  std::string campaign_id;
  std::string run_id;
  std::string log_folder;  // gets <run_id>.source.log and <run_id>.destination0.log
  LinkEngine engine = LinkEngine::none;
  const Calibration* calibration;  // of this link and block; null: external
  double copy_rate = 0;            // bytes per second
  bool was_quiet = true;           // nobody else used the machine when this began
  std::string keep_folder;  // of this cell, for what its sides keep from repetition to repetition
  uint64_t draw = 0;        // of the accesses
  const RemoteAgents* remote = nullptr;
  std::map<std::string, std::string> peers{};  // name -> program
};

// Runs it and fills the measures of `row`, status included: whatever goes wrong inside is a row.
// Throws Interrupted, and what is wrong with the conductor itself.
void run_repetition(const RepetitionSetup& setup, Expectations& expectations,
                    InterruptWatch& interrupt, Row& row);

}  // namespace memsync
