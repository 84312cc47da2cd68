// What every repetition begins with, whoever reads at the destination.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "harness/repetition.h"
#include "lib/region/digest.h"

namespace memsync {

LinkSetup link_setup(const Suite& suite, size_t link, LinkEngine engine);
// An agent in `network`, which outlives it; its log is named after it.
AgentStart agent_start(const RepetitionSetup& setup, const std::string& name,
                       const NetworkNamespace& network, std::optional<unsigned> cpu);
// The command `prepare` for the agent of `host`, "source" or "destinationN": the same work for all.
// Makes its kept folder.
nlohmann::json prepare_request(const RepetitionSetup& setup, const std::string& host,
                               const nlohmann::json& addresses);

// Throws RepetitionFailure `corrupt` where an agent's digest, in hex, is another one.
void expect_digest(const nlohmann::json& got, const Digest& wanted, const std::string& what,
                   const std::string& where = "destination");

// Sets `column` to a number of an agent's answer, if it has it.
void copy_member(const nlohmann::json& from, const char* member, Row& row, std::string_view column);

}  // namespace memsync
