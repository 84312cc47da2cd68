// What a campaign writes beside its rows, and the digests that tell campaigns apart.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/campaign.h"
#include "harness/expectations.h"
#include "harness/plan.h"
#include "harness/results_directory.h"
#include "netem/calibration.h"

namespace memsync {

std::string plan_csv(const Suite& suite, const Plan& plan);
// One entry of calibration.json.
nlohmann::json calibration_json(const Calibration& calibration, const LinkSpec& link);

// SHA-256 of the suite's text and of what the command line changed in it.
std::string config_digest(const Suite& suite, const RunOptions& options);
// What a campaign asks and of which bytes: the same when it is resumed, or rows would be mixed.
std::string question_digest(const Suite& suite, const RunOptions& options, const Plan& plan,
                            const std::vector<Run>& order, Expectations& expectations);

// A shipped suite is named within the checkout, so that a kept campaign tells no machine's paths.
std::string portable_path(const std::string& path);

// {name: SHA-256} of those files of the campaign that are there, manifest.json aside.
nlohmann::json file_digests(const ResultsDirectory& directory);

}  // namespace memsync
