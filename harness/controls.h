// Control series: what a campaign must find equal, what it must find slower, and its floor.
//
//   tcp_copy           measured                                role "",        of ""
//   tcp_copy-twin      the same under another label            role "twin",    of "tcp_copy"
//   tcp_copy-planted   the same and a planted_delay            role "planted", of "tcp_copy"
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/plan.h"
#include "harness/suite.h"

namespace memsync {

enum class SeriesRole : uint8_t { none, twin, planted };
std::string_view series_role_name(SeriesRole role) noexcept;  // "", "twin", "planted"

struct SeriesRelation {
  SeriesRole role = SeriesRole::none;
  std::string of{};             // the label it is to be compared with; "" without a role
  Nanoseconds planted_delay{};  // of a planted one
};

// What each of the suite's series is to an earlier or undelayed one, whoever wrote it: the same
// approach and options make a twin (of the first such label), a planted_delay more makes a planted
// one.
std::vector<SeriesRelation> relations_of(const Suite& suite, const StrategyDirectory& known);

// Adds to `suite` a twin and a planted series of its cheapest planned read cell and of its cheapest
// planned hand-over cell, for these cells alone, and `floor` there if the suite has none. Cells of
// links with a rate or a delay come first; cells of approaches that share memory don't count.
//   plan   of `suite` as it is
void add_controls(Suite& suite, const Plan& plan, const StrategyDirectory& known);
// Adds them by the plan of `suite` without them, and plans it anew.
Plan make_plan_with_controls(Suite& suite, const Machine& machine, const std::string& filter);

}  // namespace memsync
