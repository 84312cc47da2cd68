// A campaign's own CA, which lives as long as its conductor, for series that ask for `tls: on`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lib/transport/network.h"

namespace memsync {

// What a host needs to be that host to the others, for the agent's `prepare`. Keys go over the
// control channel as they are: they are good for this campaign's hosts alone.
nlohmann::json campaign_tls(const std::string& host);
// `plain` inside TLS with what campaign_tls() gave.
std::unique_ptr<Network> inside_campaign_tls(std::unique_ptr<Network> plain,
                                             const nlohmann::json& given);

}  // namespace memsync
