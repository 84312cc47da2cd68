// The part of a row that is known before anything runs: what was asked, where, and by which
// program.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "harness/columns.h"
#include "harness/environment.h"
#include "harness/plan.h"
#include "harness/suite.h"

namespace memsync {

// What all rows of a campaign share.
struct CampaignFacts {
  std::string campaign_id;
  std::string engine;        // the column link_engine
  bool is_external = false;  // real machines: the link is not configured
  std::string config_sha256;
  nlohmann::json host;  // host_json()
  GitState git;
};

Row dimensions_of(const Suite& suite, const Cell& cell, const CampaignFacts& facts);

}  // namespace memsync
