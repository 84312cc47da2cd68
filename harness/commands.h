// The verbs of the command line that need more than a call.
#pragma once

#include <string>
#include <vector>

#include "harness/campaign.h"

namespace memsync {

int doctor_command(bool json);
int list_command(bool json, const std::string& filter);
int plan_command(const RunOptions& options, bool json);
int calibrate_command(const std::string& profile, const std::string& engine, bool json);
int clean_command(bool dry_run, bool json);
// In place of root: maps this user to root in a user namespace of its own, where network namespaces
// and veth are allowed. Silently does nothing where even that is refused.
void enter_user_namespace();

}  // namespace memsync
