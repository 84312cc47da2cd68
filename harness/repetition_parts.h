// What every repetition begins with, whoever reads at the destination.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "harness/repetition.h"

namespace memsync {

LinkSetup link_setup(const Suite& suite, size_t link, LinkEngine engine);
// An agent in `network`, which outlives it; its log is named after it.
AgentStart agent_start(const RepetitionSetup& setup, const std::string& name,
                       const NetworkNamespace& network, std::optional<unsigned> cpu);
// The command `prepare` for one of the agents: the same work for both. Makes its kept folder.
nlohmann::json prepare_request(const RepetitionSetup& setup, const std::string& role,
                               const nlohmann::json& addresses);

// Sets `column` to a number of an agent's answer, if it has it.
void copy_member(const nlohmann::json& from, const char* member, Row& row, std::string_view column);

}  // namespace memsync
